"""One connection to one Redis server that every request of the process shares.

A client that takes a connection from a pool for each command spends some 80 us of Python on it, and the server a
system call for each way. Here the commands of one turn of the event loop leave together and their answers come
back in order, so that under load a command costs 3 us (`python -m bench.app`, "session get"): the reason why a
session can be read from Redis in every request and the process still serve.

The bytes are hiredis' work, both ways. Commands that block or subscribe do not belong here, nor values of many
kilobytes: whoever comes after them on the connection would wait.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import hiredis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from app.deployment import Endpoint

log = logging.getLogger(__name__)

MAX_WAITING = 8192
"""Commands without an answer at which a further one is refused: the server is late by more than a queue can mend."""

_ERRORS: dict[str, type[RedisError]] = {
    "LOADING": BusyLoadingError,
    "MASTERDOWN": MasterDownError,
    "NOAUTH": AuthenticationError,
    "NOSCRIPT": NoScriptError,
    "READONLY": ReadOnlyError,
    "WRONGPASS": AuthenticationError,
}


def _reply_error(message: str) -> RedisError:
    return _ERRORS.get(message.partition(" ")[0], ResponseError)(message)


class RedisLane:
    """Commands to the server at `endpoint`, connected when first used and again after a loss.

    `patience` in seconds bounds the connecting, and the time in which the server answers nothing at all while
    something is asked: then the connection is dropped, and all who wait get redis-py's TimeoutError.
    `password` is called for each connection, so that a rotated one is taken.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        password: Callable[[], str | None],
        patience: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._password = password
        self._patience = patience
        self._tls = tls
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None

    async def execute_command(self, *command: str | bytes | float) -> Any:
        """The server's answer, bytes undecoded. Raises RedisError: its own, or that it could not be asked."""
        wire = self._wire
        if wire is None or wire.lost:
            wire = await self._connected()
        return await wire.ask(command)

    def get(self, key: str) -> Awaitable[bytes | None]:
        """GET. Not a coroutine while connected: it is in the way of every request."""
        wire = self._wire
        if wire is None or wire.lost:
            return self.execute_command("GET", key)
        return wire.ask(("GET", key))

    async def aclose(self) -> None:
        """Drop the connection; who still waits gets redis-py's ConnectionError."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._wire is not None:
            self._wire.drop(RedisConnectionError("the client was closed"))

    async def _connected(self) -> _Wire:
        """One connecting for all who need it; one who is cancelled does not cancel it for the others."""
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
            # All who wait may have left by the time it fails.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> _Wire:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience):
                _, wire = await loop.create_connection(
                    lambda: _Wire(loop, self._patience),
                    self._endpoint.host,
                    self._endpoint.port,
                    ssl=self._tls,
                )
                password = self._password()
                if password is not None:
                    await wire.ask(("AUTH", password))
        except TimeoutError:
            raise RedisTimeoutError(f"no connection to {self._where} within {self._patience:g} s") from None
        except OSError as error:
            raise RedisConnectionError(
                f"no connection to {self._where}: {error.strerror or type(error).__name__}"
            ) from None
        self._wire = wire
        return wire

    @property
    def _where(self) -> str:
        return f"{self._endpoint.host}:{self._endpoint.port}"


class _Wire(asyncio.Protocol):
    """One connection's life: commands out in batches, answers in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        self.lost = False
        self._loop = loop
        self._patience = patience
        self._reader = hiredis.Reader(protocolError=RedisConnectionError, replyError=_reply_error)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._progressed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of a class of their own

    def ask(self, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        """The future of the answer. A caller that no longer waits cancels it; the answer is then passed over."""
        if self.lost:
            raise RedisConnectionError("the connection was lost")
        if len(self._waiting) >= MAX_WAITING:
            raise RedisConnectionError(f"{MAX_WAITING} commands wait for an answer already")
        packed = hiredis.pack_command(command)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(future)
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(packed)
        return future

    def _flush(self) -> None:
        if self.lost or self._transport is None:
            return
        self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()
        if self._watch is None:
            self._progressed = False
            self._watch = self._loop.call_later(self._patience, self._look)

    def _look(self) -> None:
        """Something is asked and nothing was answered for `patience`: nothing will be."""
        self._watch = None
        if not self._waiting:
            return
        if not self._progressed:
            self.drop(RedisTimeoutError(f"no answer within {self._patience:g} s"))
            return
        self._progressed = False
        self._watch = self._loop.call_later(self._patience, self._look)

    def data_received(self, data: bytes) -> None:
        self._progressed = True
        self._reader.feed(data)
        waiting = self._waiting
        while waiting:
            try:
                answer = self._reader.gets()
            except RedisConnectionError as error:
                self.drop(error)
                return
            if answer is False:
                return
            future = waiting.popleft()
            if future.done():
                continue
            if isinstance(answer, RedisError):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.drop(RedisConnectionError("the connection was lost"))

    def drop(self, error: RedisError) -> None:
        """End the connection; everybody who waits gets `error`."""
        if self.lost:
            return
        self.lost = True
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(error)
