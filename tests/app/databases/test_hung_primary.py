"""A primary that hangs keeps the places of its own requests only."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from app.databases.databases import DatabaseUnavailable
from app.databases.pools import STUCK_SECONDS
from app.items import ItemRepository, Written
from app.users import UserRepository
from tests.app.fixtures_postgres import MakeDatabases, PostgresShards


async def test_who_comes_to_a_primary_that_hangs_is_told_at_once_and_nobody_piles_up(
    postgres: PostgresShards, make_databases: MakeDatabases
) -> None:
    databases = await make_databases()
    users, items = UserRepository(databases), ItemRepository(databases)
    user, _ = await users.register("us-west")
    other, _ = await users.register("eu-central")
    for each in (user, other):
        await items.put(each.id, "a", b"1")
    size = databases.shards.pools[1].primary_pool.size
    held: set[asyncio.Task[Written]] = set()
    # A lock that nobody gives back: every write gets as far as the server and none an answer.
    locker = await asyncpg.connect(**postgres.primaries[1].dsn())
    await locker.execute("BEGIN; LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
    try:
        most = 0
        for _ in range(100):  # 100 writes a second to the sick shard; each may take five
            task = asyncio.create_task(items.put(user.id, "a", b"2", timeout=5))
            held.add(task)
            task.add_done_callback(held.discard)
            task.add_done_callback(lambda done: done.exception())
            await asyncio.sleep(0.01 + STUCK_SECONDS / 100)
            most = max(most, len(held))
        assert most < size + 100 * STUCK_SECONDS / (0.01 + STUCK_SECONDS / 100)
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await items.put(user.id, "a", b"2", timeout=5)
        assert time.monotonic() - began < 1
        await items.put(other.id, "a", b"2", timeout=2)
    finally:
        await locker.close()
        for task in held:
            task.cancel()
    give_up = time.monotonic() + 15
    while True:
        try:
            await items.put(user.id, "a", b"3", timeout=2)
            break
        except DatabaseUnavailable:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.1)
