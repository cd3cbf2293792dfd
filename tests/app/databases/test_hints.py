"""A hint is never a fact: floors, documents and messages make a
process ask, and only what Postgres says changes its map.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.databases.databases import DatabaseError, Databases
from app.databases.floor import UNKNOWN, Floor
from app.databases.sharding import slot_of
from app.deployment import SLOTS
from app.items import ItemRepository
from app.user_data import UserData
from app.users import UserRepository
from tests.app.fixtures_postgres import PostgresShards


class NoCache:
    """A cache that holds nothing."""

    async def get_or_load(self, _key: str, loader: Callable[[], Awaitable[Any]], _type: object) -> Any:
        return await loader()


@pytest.fixture
async def user(databases: Databases) -> UUID:
    """A user of shard 1."""
    registered, _ = await UserRepository(databases).register("us-west")
    return registered.id


async def epochs(postgres: PostgresShards) -> dict[int, int]:
    """By slot the newest epoch that any shard knows of it."""
    newest: dict[int, int] = {}
    for server in postgres.primaries.values():
        connection = await asyncpg.connect(**server.dsn())
        for row in await connection.fetch("SELECT slot, epoch FROM slots"):
            newest[row["slot"]] = max(newest.get(row["slot"], 0), row["epoch"])
        await connection.close()
    return newest


async def raise_epoch(postgres: PostgresShards, shard: int, slot: int, by: int) -> None:
    """As a promotion or a move of this slot leaves it."""
    connection = await asyncpg.connect(**postgres.primaries[shard].dsn())
    await connection.execute("UPDATE slots SET epoch = epoch + $2 WHERE slot = $1", slot, by)
    await connection.close()


def stranger_beside(user: UUID) -> UUID:
    while slot_of(found := uuid4()) != slot_of(user):
        pass
    return found


async def test_a_log_in_by_a_stranger_leaves_the_slot_writable(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    await raise_epoch(postgres, 2, 500, 1000)
    await databases.shards.refresh("test")
    data = UserData(databases, NoCache(), "us-west")  # type: ignore[arg-type]
    assert await data.registered(stranger_beside(user)) is None
    await ItemRepository(databases).put(user, "a", b"1")


async def test_whatever_floors_are_shown_the_map_is_never_ahead_of_postgres(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    chance = random.Random(7)
    repository = UserRepository(databases)
    for number in range(60):
        if number % 20 == 10:
            await raise_epoch(postgres, 1, slot_of(user), chance.choice((1, 1000)))
        floor = Floor(chance.randint(1, 4), chance.choice((0, 1, 2, 5, 1001, 10**9)), chance.choice((0, 1, UNKNOWN)))
        with contextlib.suppress(DatabaseError):
            assert await repository.get(user, floor=floor, timeout=1) is not None
        said = await epochs(postgres)
        assert all(databases.shards.map.epoch_of(slot) <= said.get(slot, 0) for slot in range(SLOTS))
    await ItemRepository(databases).put(user, "a", b"1")


async def test_a_floor_that_knows_more_has_the_map_asked_for_and_not_once_a_read(
    databases: Databases, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    refresh = databases.shards.refresh

    async def counted(reason: str) -> None:
        asked.append(reason)
        await refresh(reason)

    monkeypatch.setattr(databases.shards, "refresh", counted)
    for _ in range(20):
        assert await UserRepository(databases).get(user, floor=Floor(2, 9, UNKNOWN)) is not None
    assert asked == ["floor"]
    assert databases.shards.map.get_shard_for_user(user) == 1


async def test_a_shard_that_was_restored_to_an_older_epoch_is_writable_again(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    """The map holds what Postgres no longer says: the primary's own word counts, also where it is an older one."""
    slot = slot_of(user)
    await raise_epoch(postgres, 1, slot, 1000)
    await databases.shards.refresh("test")
    await raise_epoch(postgres, 1, slot, -1000)
    began = time.monotonic()
    await ItemRepository(databases).put(user, "a", b"1", timeout=5)
    assert time.monotonic() - began < 2
