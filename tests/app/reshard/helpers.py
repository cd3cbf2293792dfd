"""What the tests of moves share: statements on a server,
writers through what requests use, a move stopped at a point.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, Self
from uuid import UUID

import asyncpg

from app.databases.databases import CommitUnknown, Databases, DatabaseUnavailable
from app.databases.sharding import slot_of
from app.items import ItemRepository
from app.reshard.move import Progress
from app.users import UserRepository
from lab.servers.postgres import PostgresServer
from tests.app.reshard.killed import SLOTS

FREE = 2**40
"""Bytes of free disk that a target is said to have."""


class Stop(Exception):
    """A move was stopped where a test wanted it."""


def stop_at(point: str) -> Progress:
    """A mover's `progress` that ends it there."""

    async def tell(text: str) -> None:
        if text == point:
            raise Stop(point)

    return tell


def user_in(slots: Sequence[int]) -> UUID:
    """A new user whose slot is one of `slots`."""
    while slot_of(user := uuid.uuid4()) not in slots:
        pass
    return user


async def sql(server: PostgresServer, *statements: str) -> list[asyncpg.Record]:
    """Run statements on a server as its administrator; the last one's rows."""
    connection = await asyncpg.connect(**server.dsn())
    try:
        rows: list[Any] = []
        for statement in statements:
            rows = await connection.fetch(statement)
        return rows
    finally:
        await connection.close()


def log_of(server: PostgresServer) -> str:
    """All that a server has logged."""
    path = server.directory / "log"
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return "".join(file.read_text(errors="replace") for file in files)


class Putters:
    """Writers of items of their own, through what requests use: a lost write is never covered by a later one."""

    def __init__(self, databases: Databases, users: Sequence[UUID]) -> None:
        self.users = users
        self.acknowledged: list[tuple[UUID, str]] = []
        self._items = ItemRepository(databases)
        self._stop = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._write(user)) for user in self.users]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def more(self, number: int = 30) -> None:
        """Wait until `number` more writes are acknowledged."""
        target = len(self.acknowledged) + number
        async with asyncio.timeout(30):
            while len(self.acknowledged) < target:
                await asyncio.sleep(0.01)

    async def _write(self, user: UUID) -> None:
        while not self._stop:
            key = uuid.uuid4().hex
            try:
                await self._items.put(user, key, b"acknowledged")
            except (CommitUnknown, DatabaseUnavailable):
                pass
            else:
                self.acknowledged.append((user, key))
            await asyncio.sleep(0.01)

    async def lost(self, databases: Databases) -> list[tuple[UUID, str]]:
        """The acknowledged writes that readers do not find."""
        items = ItemRepository(databases)
        return [(user, key) for user, key in self.acknowledged if await items.get(user, key) is None]


async def putters(databases: Databases, moved: int = 4, other: int = 1) -> Putters:
    """Registered writers, of slots that move and of some that stay."""
    users = [user_in(SLOTS) for _ in range(moved)] + [user_in(range(300)) for _ in range(other)]
    for user in users:
        await UserRepository(databases).register("us-west", user)
    return Putters(databases, users)
