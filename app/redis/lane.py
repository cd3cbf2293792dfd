"""One connection to one Redis server that every request of the process shares.

A client that takes a connection from a pool for each command spends some 80 us of Python on it, and the server a
system call for each way. Here the commands of one turn of the event loop leave together and their answers come
back in order, so that under load a command costs 3 us (`python -m bench.app`, "session get"): the reason why a
session can be read from Redis in every request and the process still serve.

The bytes are hiredis' work, both ways. Commands that block or subscribe do not belong here, nor values of many
kilobytes: whoever comes after them on the connection would wait.

A connection that answers is not yet one that serves. After a failover by name an open one leads to a replica, whose
word is READONLY for ever; so what a server says of itself (`UNFIT`) makes the lane leave the connection and resolve
the name anew, and so does the connection's age, for who only reads is never told. tests/app/redis/
test_lane_conformance.py holds what other clients had to learn.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import socket
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import hiredis
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
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
from app.redis.away import UnwritableError

log = logging.getLogger(__name__)

MAX_WAITING = 8192
"""Commands without an answer at which a further one is refused: the server is late by more than a queue can mend."""

MAX_UNSENT = 16 * 1024 * 1024
"""Bytes that the server has not taken at which a further command is refused."""
MAX_AGE_SECONDS = 300.0
"""A connection is followed by a new one after this, a tenth more or less: its name may lead elsewhere by then."""
ANEW_SECONDS = 1.0
"""A connection is left for what its server says no more often than this; a store that stays as it is makes no storm."""


_ERRORS: dict[str, type[RedisError]] = {
    "BUSY": BusyLoadingError,
    "LOADING": BusyLoadingError,
    "MASTERDOWN": MasterDownError,
    "MISCONF": UnwritableError,
    "NOAUTH": AuthenticationError,
    "NOREPLICAS": UnwritableError,
    "NOSCRIPT": NoScriptError,
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "WRONGPASS": AuthenticationError,
}

UNFIT = ("READONLY", "LOADING", "MASTERDOWN", "NOAUTH")
"""What a server says that does not serve on this connection, or is not the one that the name now means."""

_IN_SCRIPT = re.compile(r"ERR Error running script .*: -(([A-Z]+) .*)", re.DOTALL)
"""How Redis 6 wraps what a command within a script was answered."""


def _reply_error(message: str) -> RedisError:
    if message.startswith("ERR "):
        wrapped = _IN_SCRIPT.fullmatch(message)
        if wrapped is not None and wrapped[2] in _ERRORS:
            message = wrapped[1]
        elif message.startswith("ERR max number of clients"):
            return RedisConnectionError(message)
    return _ERRORS.get(message.partition(" ")[0], ResponseError)(message)


def _in_some_order(addresses: list[Any]) -> list[Any]:
    return random.sample(addresses, len(addresses))


class RedisLane:
    """Commands to the server at `endpoint`, connected when first used and again after a loss.

    `patience` in seconds bounds the connecting, and the time in which the server answers nothing at all while
    something is asked: then the connection is dropped, and all who wait get redis-py's TimeoutError.
    `password` is called for each connection, so that a rotated one is taken. `told` hears the first word of each
    answer by which the server says that it does not serve, or not wholly (`READONLY`, `OOM`).
    """

    def __init__(
        self,
        endpoint: Endpoint,
        password: Callable[[], str | None],
        patience: float,
        tls: ssl.SSLContext | None = None,
        told: Callable[[str], object] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._password = password
        self._patience = patience
        self._tls = tls
        self._wire: _Wire | None = None
        self._connecting: asyncio.Task[_Wire] | None = None
        self._told = told
        self._left_at = float("-inf")

    async def execute_command(self, *command: str | bytes | float) -> Any:
        """The server's answer, bytes undecoded. Raises RedisError: its own, or that it could not be asked.

        A write that a replica refused was not done: where that made the lane leave the connection, it is sent once
        more, to whom the name means now.
        """
        wire = self._wire
        if wire is None or not wire.taking:
            wire = await self._connected()
        try:
            return await wire.ask(command)
        except ReadOnlyError:
            if wire.taking:
                raise
            return await (await self._connected()).ask(command)

    def get(self, key: str) -> Awaitable[bytes | None]:
        """GET. Not a coroutine while connected: it is in the way of every request."""
        wire = self._wire
        if wire is None or not wire.taking:
            return self.execute_command("GET", key)
        return wire.ask(("GET", key))

    async def ask_in_turn(self, *commands: tuple[Any, ...]) -> list[Any]:
        """The answers to `commands`, which leave on one connection with nothing between them. Raises: RedisError."""
        wire = self._wire
        if wire is None or not wire.taking:
            wire = await self._connected()
        return list(await asyncio.gather(*[wire.ask(command) for command in commands]))

    def leave(self, word: str) -> bool:
        """Give up the connection for what its server said, and resolve the name anew for the next command.

        Whoever has asked already is answered. False where a connection was given up within `ANEW_SECONDS`.
        """
        now = time.monotonic()
        if now - self._left_at < ANEW_SECONDS:
            return False
        self._left_at = now
        log.warning("%s said %s: its name is resolved anew", self._where, word)
        if self._wire is not None:
            self._wire.retire()
        return True

    def retire(self) -> None:
        """Nobody will ask any more: end the connection once those who have are answered."""
        if self._wire is not None:
            self._wire.retire()

    def _heard(self, word: str) -> None:
        """An answer was an error."""
        if self._told is not None and word in _ERRORS and word != "NOSCRIPT":
            self._told(word)
        if word in UNFIT:
            self.leave(word)

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
        connecting = self._connecting
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if connecting.cancelled() and not (task is not None and task.cancelling()):
                raise RedisConnectionError("the client was closed") from None
            raise

    async def _connect(self) -> _Wire:
        wire: _Wire | None = None
        try:
            async with asyncio.timeout(self._patience):
                wire = await self._opened()
                password = self._password()
                if password is not None:
                    await self._log_in(wire, password)
        except BaseException as error:
            if wire is not None:
                wire.drop(RedisConnectionError("the connection was not made"))
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError(f"no connection to {self._where} within {self._patience:g} s") from None
            if isinstance(error, OSError):
                reason = error.strerror or type(error).__name__
                raise RedisConnectionError(f"no connection to {self._where}: {reason}") from None
            raise
        before, self._wire = self._wire, wire
        if before is not None:
            before.retire()
        wire.progressed = False
        wire.age(MAX_AGE_SECONDS * random.uniform(0.9, 1.1), self._follow)
        return wire

    async def _opened(self) -> _Wire:
        """A connection to one of the name's addresses; the patience is shared out among those that are left."""
        loop = asyncio.get_running_loop()
        host, port = self.endpoint.host, self.endpoint.port
        ends = loop.time() + self._patience
        addresses = _in_some_order(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        failure: OSError = OSError(f"{host} has no address")
        for number, (family, _, _, _, address) in enumerate(addresses):
            try:
                async with asyncio.timeout((ends - loop.time()) / (len(addresses) - number)):
                    _, wire = await loop.create_connection(
                        lambda: _Wire(loop, self._patience, self._heard),
                        address[0],
                        address[1],
                        family=family,
                        ssl=self._tls,
                        server_hostname=host if self._tls is not None else None,
                    )
                    return wire
            except OSError as error:  # TimeoutError is one
                failure = error
        raise failure

    async def _log_in(self, wire: _Wire, password: str) -> None:
        try:
            await wire.ask(("AUTH", password))
        except ResponseError as error:
            # A server that has just come up may not know of passwords yet, and says so in its own words.
            raise AuthenticationError(f"{self._where} does not let us in: {error}") from None

    def _follow(self) -> None:
        """The connection has its age: make the next one beside it, and stay with this one where that fails."""
        old = self._wire
        if old is None or not old.taking:
            return  # the next command makes a new one
        if old.idle:
            old.retire()
            return
        if self._connecting is None or self._connecting.done():
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._followed)

    def _followed(self, connecting: asyncio.Task[_Wire]) -> None:
        if connecting.cancelled() or connecting.exception() is None:
            return
        log.warning("the connection to %s stays beyond its age: %s", self._where, connecting.exception())
        if self._wire is not None and self._wire.taking:
            self._wire.age(MAX_AGE_SECONDS * random.uniform(0.05, 0.1), self._follow)

    @property
    def _where(self) -> str:
        return f"{self.endpoint.host}:{self.endpoint.port}"


class _Wire(asyncio.Protocol):
    """One connection's life: commands out in batches, answers in order.

    `taking` until it is lost, or retired: then it ends once all who have asked are answered. `heard` is told the first
    word of each answer that is an error.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float, heard: Callable[[str], object]) -> None:
        self.taking = True
        self._lost = False
        self._stuffed = False
        self._heard = heard
        self._aging: asyncio.TimerHandle | None = None
        self._loop = loop
        self._patience = patience
        self._reader = hiredis.Reader(protocolError=RedisConnectionError, replyError=_reply_error)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self.progressed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of a class of their own
        self._transport.set_write_buffer_limits(high=MAX_UNSENT)

    def pause_writing(self) -> None:
        """The server takes no more for now."""
        self._stuffed = True

    def resume_writing(self) -> None:
        """It does again."""
        self._stuffed = False

    def age(self, seconds: float, then: Callable[[], None]) -> None:
        """Call `then` in `seconds`, if the connection still stands."""
        if self._aging is not None:
            self._aging.cancel()
        self._aging = self._loop.call_later(seconds, then)

    @property
    def idle(self) -> bool:
        """Whether nothing was asked since the log-in."""
        return not self.progressed and not self._waiting

    def retire(self) -> None:
        """Take no more commands, and end when those that were taken are answered."""
        self.taking = False
        if not self._waiting:
            self.drop(RedisConnectionError("the connection was left"))

    def ask(self, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        """The future of the answer. A caller that no longer waits cancels it; the answer is then passed over."""
        if not self.taking:
            raise RedisConnectionError("the connection was lost")
        if self._stuffed:
            raise RedisConnectionError(f"the server has not taken {MAX_UNSENT} bytes already")
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
        if self._lost or self._transport is None:
            return
        self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()
        if self._watch is None:
            self.progressed = False
            self._watch = self._loop.call_later(self._patience, self._look)

    def _look(self) -> None:
        """Something is asked and nothing was answered for `patience`: nothing will be."""
        self._watch = None
        if not self._waiting:
            return
        if not self.progressed:
            self.drop(RedisTimeoutError(f"no answer within {self._patience:g} s"))
            return
        self.progressed = False
        self._watch = self._loop.call_later(self._patience, self._look)

    def data_received(self, data: bytes) -> None:
        self.progressed = True
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
            if isinstance(answer, RedisError) and self.taking:
                self._heard(str(answer).partition(" ")[0])
            if future.done():
                continue
            if isinstance(answer, RedisError):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        if not self.taking:
            self.drop(RedisConnectionError("the connection was left"))
        elif self._reader.has_data():
            # An answer that nobody asked for would be the next one's, and everybody's after it would be another's.
            self.drop(RedisConnectionError("the server spoke out of turn"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.drop(RedisConnectionError("the connection was lost"))

    def drop(self, error: RedisError) -> None:
        """End the connection; everybody who waits gets `error`."""
        if self._lost:
            return
        self._lost, self.taking = True, False
        if self._aging is not None:
            self._aging.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(error)
