"""One HAL9 process: everything it holds, made in order and ended in the reverse of it.

`run` reads the document, makes pools, clients, cache, sessions and limits, opens the metrics' port and then the
app's, says that it is ready, and stays until SIGTERM; then it drains (app/drain.py) and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from pathlib import Path

import msgspec
from starlette.types import ASGIApp

from app.background import Background
from app.cache.cache import DistributedCache
from app.databases.databases import Databases, DatabaseUnavailable
from app.deployment import Deployment
from app.document import load
from app.drain import Drain
from app.http import openapi
from app.http.application import Admit, Application, admit_all, no_sockets
from app.http.census import Census
from app.http.errors import explain
from app.http.gate import Gate
from app.http.health import HealthRoutes
from app.http.identity import Identity, KeySet
from app.http.items import ItemRoutes
from app.http.live import Live
from app.http.presence import Presence
from app.http.request import Request
from app.http.response import Response
from app.http.routing import Access, Answer, Route, Router
from app.http.serve import Port
from app.http.sessions import SessionRoutes
from app.http.shedding import Shedder
from app.http.sign_in import SignIn
from app.http.users import UserRoutes
from app.latency import CrossRegionLatency
from app.limits.limiter import RateLimiter
from app.metrics import CONTENT_TYPE, Metrics
from app.redis.away import BreakerOpen
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients
from app.sessions.cookie import NAME
from app.sessions.manager import DistributedSessionManager
from app.user_data import UserData

log = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
"""How long connections may take to end once nothing is in flight any more."""


class Server:
    """One process, described by the document at `path`. Raises: DocumentError."""

    def __init__(self, path: Path) -> None:
        self.metrics = Metrics()
        self.document = load(path)
        self.drain = Drain(self.document.server, self.metrics)
        self._stack = contextlib.AsyncExitStack()

    async def run(self) -> None:
        """Come up, serve until SIGTERM or SIGINT, drain, end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.drain.ask)
        async with self._stack:
            port, live = await self._open(self.document)
            _settle_memory()
            self.drain.start()
            log.info("ready in %s, on port %d", self.document.region, self.document.server.port)
            await self.drain.asked()
            await self.drain.leave(live.close_all, port.stop)
            await port.close(CLOSE_SECONDS)

    async def _open(self, document: Deployment) -> tuple[Port, Live]:
        """Make the parts; each is closed by the stack, after those that use it."""
        metrics, enter, later = self.metrics, self._stack.enter_async_context, self._stack.push_async_callback
        breakers, presence = Breakers(), Presence()
        shedder = Shedder(document.server.max_in_flight, metrics)
        identity = Identity(
            document.identity,
            KeySet(document.identity.jwks, ca_file=document.ca_file),
            lambda reason: metrics.tokens_refused.labels(reason).inc(),
        )
        clients = RedisClients(document, metrics)
        later(clients.close)
        databases = await enter(Databases(document, metrics))
        unavailable = (DatabaseUnavailable, OSError, TimeoutError, BreakerOpen)
        cache = DistributedCache(clients, breakers=breakers, unavailable=unavailable)
        limits = RateLimiter(clients, breakers=breakers)
        sessions = DistributedSessionManager(clients, breakers=breakers, metrics=metrics)
        for part in (cache, limits, sessions):
            await part.start()
            later(part.close)
        census = Census(presence, clients, breakers)
        later(census.leave)
        self._read_by_metrics(databases, cache, breakers, sessions, census)
        latency = CrossRegionLatency(document, metrics)
        for watch in (shedder.watch, latency.watch, census.watch):
            later(Background(watch).close)
        sign_in = SignIn(sessions, metrics.floors_lost)
        gate = Gate(sign_in, limits, presence, metrics)
        data = UserData(databases, cache, document.region, items_per_user=document.limits.items_per_user)
        routes = [
            *HealthRoutes(self.drain, breakers).routes(),
            *UserRoutes(data, identity, frozenset(region.name for region in document.regions)).routes(),
            *SessionRoutes(sessions, identity, data, gate).routes(),
            *ItemRoutes(data).routes(),
        ]
        live = Live(gate.enter, sign_in, explain, presence, shedder.admit)
        inside = Port(
            self._application([*HealthRoutes(self.drain, breakers).routes(), _metrics_route(metrics)]),
            document.server.metrics_port,
        )
        await inside.open()
        later(inside.close, CLOSE_SECONDS)
        port = Port(
            self._application([*routes, _document_route(routes)], gate.admit, live, shedder), document.server.port
        )
        await port.open()
        return port, live

    def _application(
        self, routes: list[Route], admit: Admit = admit_all, live: ASGIApp = no_sockets, shedder: Shedder | None = None
    ) -> Application:
        config = self.document.server
        return Application(
            router=Router(routes),
            admit=admit,
            explain=explain,
            live=live,
            shedder=shedder or Shedder(config.max_in_flight, self.metrics),
            drain=self.drain,
            metrics=self.metrics,
            max_body_bytes=config.max_body_bytes,
            request_timeout=config.request_timeout_seconds,
        )

    def _read_by_metrics(
        self,
        databases: Databases,
        cache: DistributedCache,
        breakers: Breakers,
        sessions: DistributedSessionManager,
        census: Census,
    ) -> None:
        metrics = self.metrics
        metrics.concurrent_users = census.share
        metrics.pools = databases.shards.pool_samples
        metrics.replica_lag = databases.shards.lag_samples
        metrics.cache = cache.sample
        metrics.breakers = breakers.samples
        metrics.session_keys = sessions.key_samples


def _settle_memory() -> None:
    """What has been made by now lives as long as the process: the collector need not look at it again.

    Requests leave few cycles behind, so it also comes by less often than after every 700 objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _document_route(routes: list[Route]) -> Route:
    body = msgspec.json.encode(openapi.document(routes, NAME))

    async def get(_: Request) -> Response:
        return Response(200, body)

    return Route(
        "GET",
        "/openapi.json",
        get,
        "getDocument",
        "This document.",
        Access.OPEN,
        {200: Answer("OpenAPI 3.1.", ("application/json",))},
    )


def _metrics_route(metrics: Metrics) -> Route:
    async def get(_: Request) -> Response:
        return Response(200, metrics.render(), ((b"content-type", CONTENT_TYPE.encode()),))

    return Route(
        "GET",
        "/metrics",
        get,
        "getMetrics",
        "Prometheus' exposition.",
        Access.PROBE,
        {200: Answer("Text.", ("text/plain",))},
    )
