"""`/v1/live`: a WebSocket that a signed-in user keeps open, and that counts as a concurrent user.

The server answers `ping` with `pong` and looks now and then whether the session still stands: a log-out anywhere
ends the socket. Closing codes: 4401 the session ended, 1012 this process is leaving, 1013 it is full, 1009 a
message is too large, 1003 it is not text, 1008 it is neither `ping` nor expected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.http.presence import Presence
from app.http.problem import Problem, unavailable
from app.http.request import Request
from app.http.response import PROBLEM
from app.http.visit import Visit

PATH = "/v1/live"
MAX_SOCKETS = 4096
MAX_MESSAGE = 64
CHECK_SECONDS = 15.0
CLOSE_SECONDS = 2.0

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
        self._open: set[_Conversation] = set()
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
        conversation = _Conversation(socket)
        self._presence.opened(visit.user)
        self._open.add(conversation)
        try:
            await conversation.hold(self._check_seconds, lambda: self._ended(request))
        finally:
            self._open.discard(conversation)
            self._presence.closed(visit.user)

    async def close_all(self) -> None:
        """Close every socket because this process is leaving, and refuse new ones."""
        self._leaving = True
        for conversation in list(self._open):
            conversation.end(RESTART)
        with contextlib.suppress(TimeoutError):  # who does not take the close is cut with the process
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._open:
                    await asyncio.sleep(0.01)

    async def _admitted(self, request: Request) -> Visit:
        request.check_head()
        if request.scope["raw_path"] != PATH.encode():
            raise Problem(404, "no-such-path", "There is nothing at this path.")
        if self._leaving or len(self._open) >= MAX_SOCKETS:
            raise unavailable("overloaded", "This server takes no more connections; ask again.")
        return await self._sign_in(request)

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


async def _refuse(socket: WebSocket, request: Request, problem: Problem) -> None:
    """Answer the handshake with a problem, as any other request."""
    body = problem.body(request.id)
    headers = [PROBLEM, (b"x-request-id", request.id.encode()), *problem.headers]
    await socket.send({"type": "websocket.http.response.start", "status": problem.status, "headers": headers})
    await socket.send({"type": "websocket.http.response.body", "body": body})


class _Conversation:
    """One accepted socket, until somebody ends it.

    Granian cannot close a socket while a receive waits on it (2.8.7: both take one lock), so whoever ends it cancels
    the receive first and the holder closes.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._code: int | None = None
        self._receiving = self._receive()

    def end(self, code: int) -> None:
        """Have it closed with `code`."""
        self._code = code
        self._receiving.cancel()

    async def hold(self, check_seconds: float, ended: Callable[[], Awaitable[bool]]) -> None:
        """Answer pings until it ends; `ended` is asked every `check_seconds` without a message."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):  # the client has gone
            while self._code is None:
                done, _ = await asyncio.wait({self._receiving}, timeout=check_seconds)
                if self._code is not None:
                    break
                if not done:
                    if await ended():
                        self.end(SESSION_ENDED)
                    continue
                message = self._receiving.result()
                if message["type"] == "websocket.disconnect":
                    return
                self._code = _wrong(message.get("text"))
                if self._code is None:
                    await self._socket.send_text("pong")
                    self._receiving = self._receive()
            self._receiving.cancel()
            await asyncio.gather(self._receiving, return_exceptions=True)
            await self._socket.close(self._code or RESTART)

    def _receive(self) -> asyncio.Task[Message]:
        return asyncio.create_task(self._socket.receive())
