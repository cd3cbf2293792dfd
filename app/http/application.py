"""The ASGI application: what happens to each request, in this order.

Request id, head checked, route found, shed, limits and session (`Admit`), deadline, handler; then the answer with
the request id, or a problem with it, whatever was raised on the way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from app.drain import Drain
from app.http.cutter import Cutter
from app.http.problem import Problem
from app.http.request import Request
from app.http.response import PRIVATE, PROBLEM, Header, Response
from app.http.routing import Access, Route, Router
from app.http.shedding import Shedder
from app.metrics import Metrics

Admit = Callable[[Request, Route], Awaitable[None]]
"""Applies the limits and opens the session, which it leaves in the request. Raises Problem."""

Explain = Callable[[Exception, Request], Problem]
"""The problem that an exception means for the client (app/http/errors.py)."""


async def admit_all(_request: Request, _route: Route) -> None:
    """For a port that nobody from outside reaches."""


async def no_sockets(_scope: Scope, _receive: Receive, send: Send) -> None:
    """For a port without WebSockets."""
    await send({"type": "websocket.close", "code": 1008})


_CLOSE: Header = (b"connection", b"close")
_NO_SNIFF: Header = (b"x-content-type-options", b"nosniff")
_UNROUTED = ("none", "none")
_BODILESS = frozenset({204, 304})


class Application:
    """Pure ASGI: `http` to the routes, `websocket` to `live`. `request_timeout` is in seconds, body included."""

    def __init__(
        self,
        *,
        router: Router,
        admit: Admit,
        explain: Explain,
        live: ASGIApp,
        shedder: Shedder,
        drain: Drain,
        metrics: Metrics,
        max_body_bytes: int,
        request_timeout: float,
    ) -> None:
        self._router = router
        self._admit = admit
        self._explain = explain
        self._live = live
        self._shedder = shedder
        self._drain = drain
        self._requests = metrics.requests
        self._max_body_bytes = max_body_bytes
        self._cutter = Cutter(request_timeout)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: one request, one WebSocket or the process's life."""
        if scope["type"] != "http":
            await self._live(scope, receive, send)
            return
        begun = time.perf_counter()
        requests = self._requests
        requests.in_flight += 1
        try:
            request = Request(scope, receive, self._max_body_bytes)
            template, method = _UNROUTED
            private = False
            try:
                request.check_head()
                route = self._router.find(request)
                template, method, access = route.template, route.method, route.access
                if access is Access.PROBE:
                    response = await route.handler(request)
                else:
                    private = access is not Access.OPEN
                    self._shedder.admit()
                    task = self._cutter.begin(request.headers.get(b"x-request-start"))
                    try:
                        await self._admit(request, route)
                        response = await route.handler(request)
                    finally:
                        self._cutter.end(task)
            except Exception as error:  # noqa: BLE001 - whatever it is, the user is answered
                problem = self._explain(error, request)
                response = Response(problem.status, problem.body(request.id), (PROBLEM, *problem.headers))
            except asyncio.CancelledError:
                if not self._cutter.has_cut():
                    raise
                problem = Problem(504, "deadline", f"There was no answer within {self._cutter.seconds:g} seconds.")
                response = Response(504, problem.body(request.id), (PROBLEM,))
            status, body = response.status, response.body
            headers: list[Header] = [(b"x-request-id", request.raw_id), _NO_SNIFF, *response.headers]
            if status not in _BODILESS:
                headers.append((b"content-length", b"%d" % len(body)))
            if private:
                headers.append(PRIVATE)
            if self._drain.draining:
                headers.append(_CLOSE)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})
        finally:
            requests.in_flight -= 1
        requests.series(template, method, status).observe(time.perf_counter() - begun)
