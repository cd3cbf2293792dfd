"""A request with a session against starsessions, both as ASGI on one real Redis, ours encrypted and bound.

Each side reads the session that the request's cookie names and answers with a value of it, through its own
middleware and nothing else: no server, no limits. starsessions writes the session back with every answer and has no
way not to; ours writes when something changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starsessions import SessionAutoloadMiddleware, SessionMiddleware
from starsessions.stores.redis import RedisStore

from app.deployment import ServerConfig
from app.drain import Drain
from app.http.application import Application, no_sockets
from app.http.errors import explain
from app.http.request import Request
from app.http.response import Response
from app.http.routing import Access, Route, Router
from app.http.shedding import Shedder
from app.http.sign_in import SignIn
from app.metrics import Metrics
from app.sessions.cookie import NAME
from app.sessions.manager import DistributedSessionManager
from bench.app import Measured, Measurement, interleaved
from bench.app.redis_servers import region

REQUESTS = 2_000
AT_ONCE = 16
DATA = {"locale": "en-US", "seen": 1_770_000_000, "roles": ["crew", "eva"], "note": "x" * 64}


async def session_request() -> Measured:
    """Seconds a request, of `AT_ONCE` at once."""
    async with region() as clients:
        manager = DistributedSessionManager(clients)
        session = await manager.create_session(UUID(int=1), data=DATA)
        endpoint = clients.deployment.regions[0].sessions.primary
        connection = Redis(host=endpoint.host, port=endpoint.port, max_connections=AT_ONCE)
        await connection.set("starsessions.theirs", msgspec.json.encode({**DATA, "__metadata__": _metadata()}))
        try:
            ours, theirs = _ours(manager), _theirs(connection)
            return await interleaved(_seconds(ours, f"{NAME}={session.id}"), _seconds(theirs, "session=theirs"), "cost")
        finally:
            await manager.close()
            await connection.aclose()


def _ours(manager: DistributedSessionManager) -> ASGIApp:
    metrics, config = Metrics(), ServerConfig()
    sign_in = SignIn(manager, metrics.floors_lost)

    async def admit(request: Request, _route: Route) -> None:
        request.visit = await sign_in(request)

    async def answer(request: Request) -> Response:
        return Response(200, msgspec.json.encode(request.visit.session.data["locale"]))

    return Application(
        router=Router([Route("GET", "/", answer, "answer", "", Access.SESSION, {})]),
        admit=admit,
        explain=explain,
        live=no_sockets,
        shedder=Shedder(config.max_in_flight, metrics),
        drain=Drain(config, metrics),
        metrics=metrics,
        max_body_bytes=config.max_body_bytes,
        request_timeout=config.request_timeout_seconds,
    )


def _theirs(connection: Redis) -> ASGIApp:
    async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
        body = msgspec.json.encode(scope["session"]["locale"])
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    autoload = SessionAutoloadMiddleware(answer)
    return SessionMiddleware(autoload, store=RedisStore(connection=connection), lifetime=3600)


def _metadata() -> dict[str, float]:
    now = time.time()
    return {"lifetime": 3600, "created": now, "last_access": now}


def _seconds(app: ASGIApp, cookie: str) -> Callable[[], Awaitable[float]]:
    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"hal9.ai"), (b"accept", b"*/*"), (b"cookie", cookie.encode())],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def some(count: int) -> None:
        for _ in range(count):
            sent: list[Message] = []

            async def send(message: Message, sent: list[Message] = sent) -> None:
                sent.append(message)

            await app(dict(scope), receive, send)
            if sent[0]["status"] != 200 or sent[1]["body"] != b'"en-US"':
                raise RuntimeError(f"not the session's value: {sent}")

    async def turn() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(asyncio.create_task(some(REQUESTS // AT_ONCE)) for _ in range(AT_ONCE)))
        return (time.perf_counter() - began) / REQUESTS

    return turn


MEASUREMENTS = [
    Measurement(
        "session request", "SessionMiddleware on Redis, not encrypted", "at most", 0.5, session_request, "starsessions"
    )
]
