"""`/v1/live`: a WebSocket that a signed-in user keeps open, and that counts as a concurrent user.

The server answers `ping` with `pong` and looks now and then whether the session still stands: a log-out anywhere
ends the socket. Closing codes: 4401 the session ended, 1012 this process is leaving, 1013 it is full, 1009 a
message is too large, 1003 it is not text, 1008 it is neither `ping` nor expected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.http.problem import Problem, unavailable
from app.http.request import Request
from app.http.response import PROBLEM
from app.http.visit import Visit
from app.presence import Presence

PATH = "/v1/live"
MAX_SOCKETS = 4096
MAX_MESSAGE = 64
CHECK_SECONDS = 15.0

SESSION_ENDED, RESTART, FULL, TOO_LARGE, NOT_TEXT, UNEXPECTED = 4401, 1012, 1013, 1009, 1003, 1008

SignIn = Callable[[Request], Awaitable[Visit]]
"""The visit of a request's session cookie. Raises Problem."""

Explain = Callable[[Exception, Request], Problem]
"""The problem that any error means."""


class Live:
    """An ASGI application for WebSockets. `check_seconds`: how often a socket's session is looked at."""

    def __init__(
        self, sign_in: SignIn, explain: Explain, presence: Presence, check_seconds: float = CHECK_SECONDS
    ) -> None:
        self._sign_in = sign_in
        self._explain = explain
        self._presence = presence
        self._check_seconds = check_seconds
        self._open: set[WebSocket] = set()
        self._leaving = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        request = Request(scope, receive, 0)
        try:
            visit = await self._admitted(request)
        except Exception as error:
            await _refuse(socket, request, self._explain(error, request))
            return
        await socket.accept(headers=[(b"x-request-id", request.id.encode())])
        self._presence.opened(visit.user_id)
        self._open.add(socket)
        try:
            code = await self._converse(socket, request)
        finally:
            self._open.discard(socket)
            self._presence.closed(visit.user_id)
        if code is not None:
            await _close(socket, code)

    async def close_all(self) -> None:
        """Close every socket because this process is leaving, and refuse new ones."""
        self._leaving = True
        await asyncio.gather(*(_close(socket, RESTART) for socket in list(self._open)))

    async def _admitted(self, request: Request) -> Visit:
        request.check_head()
        if request.scope["raw_path"] != PATH.encode():
            raise Problem(404, "no-such-path", "There is nothing at this path.")
        if self._leaving or len(self._open) >= MAX_SOCKETS:
            raise unavailable("overloaded", "This server takes no more connections; ask again.")
        return await self._sign_in(request)

    async def _converse(self, socket: WebSocket, request: Request) -> int | None:
        """Answer until somebody ends it; the code to close with, None where the socket is closed already."""
        receiving = asyncio.ensure_future(socket.receive())
        try:
            while True:
                done, _ = await asyncio.wait({receiving}, timeout=self._check_seconds)
                if not done:
                    if await self._ended(request):
                        return SESSION_ENDED
                    continue
                message = receiving.result()
                if message["type"] == "websocket.disconnect":
                    return None
                wrong = _wrong(message.get("text"))
                if wrong is not None:
                    return wrong
                await socket.send_text("pong")
                receiving = asyncio.ensure_future(socket.receive())
        except (WebSocketDisconnect, RuntimeError):
            return None  # it was closed while we were answering
        finally:
            receiving.cancel()

    async def _ended(self, request: Request) -> bool:
        """Whether the session is over. A store that cannot be asked ends no socket."""
        try:
            await self._sign_in(request)
        except Problem as problem:
            return problem.status == 401
        except Exception as error:
            self._explain(error, request)
        return False


def _wrong(text: str | None) -> int | None:
    if text is None:
        return NOT_TEXT
    if len(text) > MAX_MESSAGE:
        return TOO_LARGE
    return None if text == "ping" else UNEXPECTED


async def _close(socket: WebSocket, code: int) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):  # it may have gone by itself
        await socket.close(code)


async def _refuse(socket: WebSocket, request: Request, problem: Problem) -> None:
    """Answer the handshake with a problem, as any other request."""
    body = problem.body(request.id)
    headers = [PROBLEM, (b"x-request-id", request.id.encode()), *problem.headers]
    await socket.send({"type": "websocket.http.response.start", "status": problem.status, "headers": headers})
    await socket.send({"type": "websocket.http.response.body", "body": body})
