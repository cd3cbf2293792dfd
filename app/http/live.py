"""`/v1/live`: a WebSocket that a signed-in user keeps open, and that counts as a concurrent user.

The handshake goes through the same guards as every request (shedding, limits, session), and a page of another host is
refused. The server answers `ping` with `pong`. Whatever the client does meanwhile (asks, is silent, does not read),
the end of its session ends the socket within a second: what this process knows itself (a log-out that it heard of, the
session's own end) is looked at every `TICK_SECONDS`, the store every `CHECK_SECONDS`, or as often as
`CHECKS_A_SECOND` allow.

Closing codes: 4401 the session ended, 4429 too many messages, 1012 this process is leaving, 1013 it is full, 1009 a
message is too large, 1003 it is not text, 1008 it is neither `ping` nor expected.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app import deadlines
from app.background import Background
from app.http.origin import check_origin
from app.http.presence import Presence
from app.http.problem import Problem, unavailable
from app.http.request import Request
from app.http.response import PROBLEM
from app.http.visit import Visit
from app.limits.buckets import LocalBucket

PATH = "/v1/live"
MAX_SOCKETS = 4096
MAX_SOCKETS_OF_USER = 5
"""A user's sockets on one process: a browser's tabs, and not the places of everybody."""
MAX_MESSAGE = 64
MESSAGE_RATE, MESSAGE_BURST = 2.0, 20
"""Messages a second of one socket, and how many at once: a ping has no use for more."""
TICK_SECONDS = 0.2
CHECK_SECONDS = 0.7
"""How often a socket's session is looked for in the store, while the sockets are few enough for `CHECKS_A_SECOND`."""
CHECKS_A_SECOND = 500
"""Looks in the store by all sockets together: some 3% of a core."""
HANDSHAKE_SECONDS = 5.0
SEND_SECONDS = 1.0
"""A client that takes no answer for so long is not there."""
CLOSE_SECONDS = 2.0

SESSION_ENDED, TOO_MANY, RESTART, FULL, TOO_LARGE, NOT_TEXT, UNEXPECTED = 4401, 4429, 1012, 1013, 1009, 1003, 1008

Enter = Callable[[Request], Awaitable[Visit]]
"""The visit of a request, within the limits (`Gate.enter`). Raises Problem."""

SignIn = Callable[[Request], Awaitable[Visit]]
"""The visit of a request's session cookie. Raises Problem."""

Explain = Callable[[Exception, Request], Problem]
"""The problem that any error means."""


class Live:
    """An ASGI application for WebSockets.

    `enter` admits the handshake, `shed` raises Problem where the process is full, `sign_in` looks at the session again.
    """

    def __init__(
        self,
        enter: Enter,
        sign_in: SignIn,
        explain: Explain,
        presence: Presence,
        shed: Callable[[], None],
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._enter = enter
        self._sign_in = sign_in
        self._explain = explain
        self._presence = presence
        self._shed = shed
        self._check_seconds = check_seconds
        self._open: set[_Conversation] = set()
        self._of_user: Counter[str] = Counter()
        self._watching: Background | None = None
        self._leaving = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: one WebSocket, from its opening to its end."""
        socket = WebSocket(scope, receive, send)
        request = Request(scope, receive, 0)
        try:
            with deadlines.deadline(HANDSHAKE_SECONDS):
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    visit = await self._admitted(request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the user is answered
            await _refuse(socket, request, self._explain(error, request))
            return
        self._of_user[visit.user] += 1
        self._presence.opened(visit.user)
        try:
            await socket.accept(headers=[(b"x-request-id", request.id.encode())])
            conversation = _Conversation(socket, request, visit)
            self._open.add(conversation)
            if self._watching is None:
                self._watching = Background(self._watch, TICK_SECONDS)
            try:
                await conversation.hold()
            finally:
                self._open.discard(conversation)
        finally:
            self._presence.closed(visit.user)
            self._of_user[visit.user] -= 1
            if not self._of_user[visit.user]:
                del self._of_user[visit.user]

    async def close_all(self) -> None:
        """Close every socket because this process is leaving, and refuse new ones."""
        self._leaving = True
        for conversation in list(self._open):
            conversation.end(RESTART)
        with contextlib.suppress(TimeoutError):  # who does not take the close is cut with the process
            async with asyncio.timeout(CLOSE_SECONDS):
                while self._open:  # noqa: ASYNC110 - at a clock's pace
                    await asyncio.sleep(0.01)
        if self._watching is not None:
            await self._watching.close()

    async def _admitted(self, request: Request) -> Visit:
        request.check_head()
        if request.scope["raw_path"] != PATH.encode():
            raise Problem(404, "no-such-path", "There is nothing at this path.")
        self._shed()
        if self._leaving or len(self._open) >= MAX_SOCKETS:
            raise unavailable("overloaded", "This server takes no more connections; ask again.")
        visit = await self._enter(request)
        check_origin(request)
        if self._of_user[visit.user] >= MAX_SOCKETS_OF_USER:
            raise Problem(429, "too-many-sockets", f"A user has at most {MAX_SOCKETS_OF_USER} sockets here.")
        return visit

    async def _watch(self) -> None:
        """End the sockets whose sessions are over, until cancelled."""
        looking: set[asyncio.Task[None]] = set()
        while True:
            await asyncio.sleep(min(TICK_SECONDS, self._check_seconds))
            now = time.monotonic()
            every = max(self._check_seconds, len(self._open) / CHECKS_A_SECOND)
            for conversation in list(self._open):
                if conversation.visit.over():
                    conversation.end(SESSION_ENDED)
                elif now - conversation.looked_at >= every:
                    conversation.looked_at = now
                    task = asyncio.create_task(self._look(conversation))
                    looking.add(task)
                    task.add_done_callback(looking.discard)

    async def _look(self, conversation: _Conversation) -> None:
        """End a socket whose session is gone from the store. A store that cannot be asked ends none."""
        request = conversation.request
        try:
            await self._sign_in(request)
        except Problem as problem:
            if problem.status == 401:
                conversation.end(SESSION_ENDED)
        except Exception as error:  # noqa: BLE001 - whatever it is, the user is answered
            self._explain(error, request)


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

    def __init__(self, socket: WebSocket, request: Request, visit: Visit) -> None:
        self.request = request
        self.visit = visit
        self.looked_at = time.monotonic()
        self._socket = socket
        self._code: int | None = None
        self._messages = LocalBucket(MESSAGE_RATE, MESSAGE_BURST)
        self._receiving = self._receive()

    def end(self, code: int) -> None:
        """Have it closed with `code`, or with that of who came first."""
        self._code = self._code or code
        self._receiving.cancel()

    async def hold(self) -> None:
        """Answer pings until it ends."""
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, OSError):  # the client has gone, or takes nothing
            while self._code is None:
                await asyncio.wait({self._receiving})
                if self._code is not None:
                    break
                message = self._receiving.result()
                if message["type"] == "websocket.disconnect":
                    return
                self._code = _wrong(message.get("text"))
                if self._code is None and not self._messages.take()[0]:
                    self._code = TOO_MANY
                if self._code is None:
                    async with asyncio.timeout(SEND_SECONDS):
                        await self._socket.send_text("pong")
                    self._receiving = self._receive()
            self._receiving.cancel()
            await asyncio.gather(self._receiving, return_exceptions=True)
            async with asyncio.timeout(SEND_SECONDS):
                await self._socket.close(self._code or RESTART)

    def _receive(self) -> asyncio.Task[Message]:
        return asyncio.create_task(self._socket.receive())
