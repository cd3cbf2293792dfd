"""Invalidations on their way to other regions, and to this one's
cache where it did not answer: tried until they arrive.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Iterator

from app.cache import records
from app.redis.away import FAILURES
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients

log = logging.getLogger(__name__)

MOST = 100_000
"""Undelivered invalidations kept. Above it the oldest is given up; its bound is L2's lifetime."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between tries at a region that does not answer."""
AT_ONCE = 64
"""Invalidations under way to one region at a time."""


class Delivery:
    """One queue and one task for each region, which ends when the queue is empty."""

    def __init__(self, clients: RedisClients, breakers: Breakers, keep_ms: int) -> None:
        self._clients = clients
        self._breakers = breakers
        self._keep_ms = keep_ms
        self._queues: dict[str, OrderedDict[str, tuple[bytes, float]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.given_up = 0

    def tell(self, region: str, key: str, floors: bytes) -> None:
        """Have `key` invalidated in `region`, now or as soon as it answers."""
        queue = self._queues.setdefault(region, OrderedDict())
        queue.pop(key, None)
        queue[key] = (floors, time.monotonic())
        if len(queue) > MOST:
            queue.popitem(last=False)
            self.given_up += 1
        task = self._tasks.get(region)
        if task is None or task.done():
            self._tasks[region] = asyncio.create_task(self._deliver(region, queue), name=f"invalidations to {region}")

    def owes(self, region: str, key: str) -> bool:
        """Whether `region` has not been told of `key` yet."""
        queue = self._queues.get(region)
        return bool(queue) and key in queue  # type: ignore[operator]

    def regions_owed(self, key: str) -> Iterator[str]:
        """The regions that have not been told of `key` yet."""
        return (region for region, queue in self._queues.items() if key in queue)

    @property
    def waiting(self) -> int:
        """Invalidations not delivered yet, over all regions."""
        return sum(len(queue) for queue in self._queues.values())

    async def drain(self, seconds: float) -> bool:
        """Wait at most `seconds` until everything is delivered; whether it is."""
        give_up = time.monotonic() + seconds
        while self.waiting and time.monotonic() < give_up:  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.01)
        return not self.waiting

    async def close(self) -> None:
        """Give up what is not delivered."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _deliver(self, region: str, queue: OrderedDict[str, tuple[bytes, float]]) -> None:
        pause = FIRST_PAUSE
        while queue:
            batch = list(queue.items())[:AT_ONCE]
            sent = await asyncio.gather(
                *(self._send(region, key, floors) for key, (floors, _) in batch), return_exceptions=True
            )
            failure: BaseException | None = None
            for (key, told), outcome in zip(batch, sent, strict=True):
                if isinstance(outcome, BaseException):
                    failure = outcome
                elif queue.get(key) is told:
                    del queue[key]
            if failure is None:
                pause = FIRST_PAUSE
                continue
            if not isinstance(failure, FAILURES):
                raise failure
            log.warning("%d invalidations wait for the cache of %s: %s", len(queue), region, failure)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _send(self, region: str, key: str, floors: bytes) -> None:
        arguments = records.new_generation(), floors, self._keep_ms, f"-::{key}"
        await self._breakers.get("cache-write", region).call(
            lambda: records.INVALIDATE.run(self._clients.cache(region), [records.PREFIX + key], *arguments)
        )
