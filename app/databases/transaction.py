"""A write transaction, as `Databases.write` gives it."""

from __future__ import annotations

from typing import Any

import asyncpg

from app.databases.floor import Floor


class Transaction:
    """A write transaction on a user's shard, past the fence. Made by `Databases.write`.

    `floor` is set once it is committed: keep it in the session. `connection` is asyncpg's; the methods below
    are its own. Its `transaction()` cannot be used in here (this is one); SAVEPOINT can.
    """

    __slots__ = ("connection", "epoch", "floor", "shard_id", "slot")

    def __init__(self, connection: Any, slot: int, shard_id: int, epoch: int) -> None:
        self.connection = connection
        self.slot = slot
        self.shard_id = shard_id
        self.epoch = epoch
        self.floor: Floor | None = None

    async def execute(self, query: str, *arguments: Any) -> str:
        """Run a statement; its command tag."""
        tag: str = await self.connection.execute(query, *arguments)
        return tag

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a query; its rows."""
        rows: list[asyncpg.Record] = await self.connection.fetch(query, *arguments)
        return rows

    async def fetchrow(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        """Run a query; its first row."""
        return await self.connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """Run a query; the first value of its first row."""
        return await self.connection.fetchval(query, *arguments)
