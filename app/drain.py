"""Leaving without anyone noticing: what a process does between SIGTERM and its exit.

In order: unready at once, so that no new connection is sent here; `drain_delay_seconds` during which everything is
still answered (load balancers need that long to look), each answer with `Connection: close`, so that kept-alive
connections move to another process one by one and none is cut while a request is on its way; WebSockets are closed with
1012 (service restart); no more connections are taken; what is in flight is finished, `drain_timeout_seconds` at most.

The pod's grace period is above drain_delay_seconds +
drain_timeout_seconds, the balancer's deregistration delay below it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from app.deployment import ServerConfig
from app.metrics import Metrics

log = logging.getLogger(__name__)

POLL_SECONDS = 0.02


class Drain:
    """Whether this process takes work. `started` and `draining` decide readiness.

    A process is ready from the end of its start (document read, pools and clients made) until it drains. A
    database or a Redis that is away afterwards does not make it unready: every process sees the same dead Redis, so
    all would leave at once and turn a partial failure into a whole one. Breakers and fallbacks are for that.
    """

    def __init__(self, config: ServerConfig, metrics: Metrics) -> None:
        self.started = False
        self.draining = False
        self._config = config
        self._metrics = metrics
        self._asked = asyncio.Event()

    @property
    def ready(self) -> bool:
        """What /readyz says."""
        return self.started and not self.draining

    def start(self) -> None:
        """The process has come up."""
        self.started = True
        self._metrics.ready.set(1)

    def ask(self) -> None:
        """SIGTERM: begin. A second signal changes nothing."""
        self.draining = True
        self._metrics.ready.set(0)
        self._asked.set()

    async def asked(self) -> None:
        """Wait for SIGTERM."""
        await self._asked.wait()

    async def leave(self, close_sockets: Callable[[], Awaitable[None]], stop: Callable[[], None]) -> None:
        """The steps after SIGTERM: `close_sockets` ends the WebSockets, `stop` the taking of connections."""
        log.info("draining: unready, still answering for %.1f s", self._config.drain_delay_seconds)
        await asyncio.sleep(self._config.drain_delay_seconds)
        deadline = asyncio.get_running_loop().time() + self._config.drain_timeout_seconds
        await close_sockets()
        stop()
        requests = self._metrics.requests
        while requests.in_flight and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - a count of what others do
            await asyncio.sleep(POLL_SECONDS)
        if requests.in_flight:
            log.warning("leaving with %d requests unanswered after the drain time-out", requests.in_flight)
