"""The ASGI application: what happens to each request, in this order.

Request id, head checked, route found, shed, limits and session (`Admit`), deadline, handler; then the answer with
the request id, or a problem with it. Whatever a handler raises becomes a problem here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from app.drain import Drain
from app.http.problem import Problem
from app.http.request import Request
from app.http.response import PRIVATE, PROBLEM, Header, Response
from app.http.routing import Access, Route, Router
from app.metrics import Metrics
from app.shedding import Shedder

log = logging.getLogger(__name__)

Admit = Callable[[Request, Route], Awaitable[None]]
"""Applies the limits and opens the session, which it leaves in the request. Raises Problem."""

Translate = Callable[[Exception], Problem | None]
"""The problem that an exception of a dependency means for the client, or None where it is a mistake of ours."""

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
        translate: Translate,
        live: ASGIApp,
        shedder: Shedder,
        drain: Drain,
        metrics: Metrics,
        max_body_bytes: int,
        request_timeout: float,
    ) -> None:
        self._router = router
        self._admit = admit
        self._translate = translate
        self._live = live
        self._shedder = shedder
        self._drain = drain
        self._requests = metrics.requests
        self._max_body_bytes = max_body_bytes
        self._request_timeout = request_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._live(scope, receive, send)
        else:
            raise NotImplementedError(f"no {scope['type']} here")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
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
                template, method = route.template, route.method
                if route.access is Access.PROBE:
                    response = await route.handler(request)
                else:
                    private = route.access is not Access.OPEN
                    self._shedder.admit()
                    async with asyncio.timeout(self._request_timeout):
                        await self._admit(request, route)
                        response = await route.handler(request)
            except Exception as error:
                response = self._failed(error, request)
            headers: list[Header] = [(b"x-request-id", request.id.encode()), _NO_SNIFF, *response.headers]
            if response.status not in _BODILESS:
                headers.append((b"content-length", b"%d" % len(response.body)))
            if private:
                headers.append(PRIVATE)
            if self._drain.draining:
                headers.append(_CLOSE)
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else response.body})
        finally:
            requests.in_flight -= 1
        requests.series(template, method, response.status).observe(time.perf_counter() - begun)

    def _failed(self, error: Exception, request: Request) -> Response:
        problem = error if isinstance(error, Problem) else self._explained(error, request)
        return Response(problem.status, problem.body(request.id), (PROBLEM, *problem.headers))

    def _explained(self, error: Exception, request: Request) -> Problem:
        problem = self._translate(error)
        if problem is not None:
            log.warning("request %s: %s (%s)", request.id, problem.kind, type(error).__name__)
            return problem
        if isinstance(error, TimeoutError):
            return Problem(504, "deadline", f"There was no answer within {self._request_timeout:g} seconds.")
        log.error("request %s failed", request.id, exc_info=error)
        return Problem(500, "internal", "This is our mistake; the request id finds it in our logs.")
