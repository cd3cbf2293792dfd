"""Kept connections to one server, lent one at a time. The wire and the protocol are asyncpg's.

asyncpg's own pool spends a round trip on a reset query and a task on every return; with both a query costs several
times what it costs on a line of its own (`make bench-app`, "routed query"). Here taking and returning a free
connection are plain calls. What that takes: whoever returns a connection has ended its transaction, and nobody
changes a session's settings (`Connection`, app/databases/connect.py).
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import Awaitable, Callable

import asyncpg

from app.databases.connect import Connection

CLOSE_SECONDS = 1.0
"""How long an orderly good-bye to the server may take."""


class ConnectionPool:
    """Up to `size` connections made by `connect`; times in seconds.

    The connection used last is lent first, so that those beyond the need fall idle; they are closed after
    `idle_seconds`. One that is closed, past its `expires_at`, or made before `expire` is not lent again.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int, idle_seconds: float) -> None:
        self.size = size
        self.lent: set[Connection] = set()
        self._connect = connect
        self._idle_seconds = idle_seconds
        self._idle: list[tuple[Connection, float]] = []
        self._opening = 0
        self._waiting: collections.deque[asyncio.Future[Connection | None]] = collections.deque()
        self._born: dict[Connection, int] = {}
        self._generation = 0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def full(self) -> bool:
        """Whether every connection it may have is lent."""
        return len(self.lent) >= self.size

    async def acquire(self, timeout: float) -> Connection:
        """A connection within `timeout` seconds. Raises TimeoutError, and what `connect` raises."""
        connection = self._take()
        if connection is not None:
            return connection
        async with asyncio.timeout(timeout):
            while True:
                if self._closing:
                    raise asyncpg.InterfaceError("the pool is closed")
                if len(self.lent) + len(self._idle) + self._opening < self.size:
                    return await self._open()
                waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
                self._waiting.append(waiter)
                try:
                    given = await waiter
                except asyncio.CancelledError:
                    if waiter.done() and not waiter.cancelled():
                        # Given and cancelled at once: pass it on.
                        self._pass_on(waiter.result())
                    raise
                if given is not None:
                    return given
                connection = self._take()
                if connection is not None:
                    return connection

    def release(self, connection: Connection) -> None:
        """Take a connection back. Safe to repeat."""
        if connection in self.lent:
            self._pass_on(connection)

    def expire(self) -> None:
        """Close the idle connections, and those lent when they return."""
        self._generation += 1
        for connection, _ in self._idle:
            self._end(connection)
        self._idle.clear()

    async def close(self, timeout: float) -> None:
        """Lend no more, wait for what is lent up to `timeout` seconds, then cut it."""
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self.expire()
        self._wake(None, everybody=True)
        give_up = time.monotonic() + timeout
        while self.lent and time.monotonic() < give_up:  # noqa: ASYNC110 - at a clock's pace
            await asyncio.sleep(0.01)
        for connection in list(self.lent):
            connection.terminate()
        self.lent.clear()
        await asyncio.gather(*self._tasks)

    def _take(self) -> Connection | None:
        """An idle connection that is still good."""
        now = time.monotonic()
        while self._idle and not self._closing:
            connection, _ = self._idle.pop()
            if self._good(connection, now):
                self.lent.add(connection)
                return connection
            self._end(connection)
        return None

    def _good(self, connection: Connection, now: float) -> bool:
        return not connection.is_closed() and connection.expires_at > now and self._born[connection] == self._generation

    async def _open(self) -> Connection:
        self._opening += 1
        generation = self._generation
        try:
            connection = await self._connect()
        except BaseException:
            self._opening -= 1
            self._wake(None)
            raise
        self._opening -= 1
        self._born[connection] = generation
        self.lent.add(connection)
        return connection

    def _pass_on(self, connection: Connection | None) -> None:
        """Give a returned connection to who waits longest, else keep it; a bad one leaves its place to them."""
        if connection is None:
            self._wake(None)
            return
        if self._closing or not self._good(connection, time.monotonic()) or connection.is_in_transaction():
            self.lent.discard(connection)
            self._end(connection)
            self._wake(None)
        elif not self._wake(connection):
            self.lent.discard(connection)
            self._idle.append((connection, time.monotonic()))
            if self._sweeper is None:
                self._sweeper = asyncio.get_running_loop().call_later(self._idle_seconds, self._sweep)

    def _wake(self, connection: Connection | None, everybody: bool = False) -> bool:
        """Hand `connection`, or with None the news that there is room, to the first who still waits."""
        woken = False
        while self._waiting and (everybody or not woken):
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                woken = True
        return woken

    def _sweep(self) -> None:
        """Close what has been idle for too long; the oldest are first in the list."""
        self._sweeper = None
        limit = time.monotonic() - self._idle_seconds
        while self._idle and self._idle[0][1] <= limit:
            self._end(self._idle.pop(0)[0])
        if self._idle:
            left = self._idle[0][1] - limit
            self._sweeper = asyncio.get_running_loop().call_later(max(left, 0.01), self._sweep)

    def _end(self, connection: Connection) -> None:
        """Close a connection in the background."""
        self._born.pop(connection, None)
        if connection.is_closed():
            return
        task = asyncio.get_running_loop().create_task(self._say_good_bye(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    async def _say_good_bye(connection: Connection) -> None:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=CLOSE_SECONDS)
