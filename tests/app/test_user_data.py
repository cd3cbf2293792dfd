"""What a session remembers of its last write, and what the caches forget after one that has no clear end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from uuid import UUID

import asyncpg
import pytest

from app.cache import Floors
from app.databases.databases import CommitUnknown, DatabaseUnavailable
from app.databases.floor import UNKNOWN, Floor
from app.databases.sharding import ShardMap
from app.deployment import CacheConfig, DatabaseConnection, Endpoint, KeyRange, ShardConfig, ShardingConfig
from app.items import PRECONDITION_FAILED, PreconditionFailed
from app.user_data import Footprint, UserData


def test_a_footprint_survives_its_text() -> None:
    footprint = Footprint(Floor(2, 7, 0xABCDEF), "eu-central", 1_700_000_000)
    assert Footprint.decode(footprint.encode()) == footprint


def test_of_two_writes_the_later_place_and_the_higher_floor_count() -> None:
    first = Footprint(Floor(1, 1, 500), "us-west", 100)
    second = Footprint(Floor(1, 1, 300), "eu-central", 200)
    assert first.newest(second) == second.newest(first) == Footprint(Floor(1, 1, 500), "eu-central", 200)
    assert first.newest(None) == first


@pytest.mark.parametrize("text", ["", "1.1.a", "1.1.a us-west", "x us-west 1", "1.1.a us-west 1 2"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which one does not matter
        Footprint.decode(text)


# Unknown is not old


class Remembering:
    """A cache that tells what it was asked to forget, and whether its caller waited for it."""

    config = CacheConfig()

    def __init__(self) -> None:
        self.told: list[tuple[str, str, Floors | None]] = []

    async def invalidate(self, key: str, *, floors: Floors | None = None) -> None:
        self.told.append(("waited", key, floors))

    def invalidate_soon(self, key: str, *, floors: Floors | None = None) -> None:
        self.told.append(("soon", key, floors))


class Failing:
    """Databases whose every write ends by `error`, or never."""

    def __init__(self, error: BaseException | None) -> None:
        shard = ShardConfig(
            id=3, home="us-west", key_ranges=(KeyRange(start=0, end=999),), primary=NOWHERE, replicas=()
        )
        self.shards = SimpleNamespace(map=ShardMap(ShardingConfig(shards=(shard,), replication_factor=1)))
        self.writes = self
        self.error = error

    async def call(self, *_: object, **__: object) -> None:
        if self.error is not None:
            raise self.error
        await asyncio.sleep(60)


NOWHERE = DatabaseConnection(region="us-west", endpoint=Endpoint(host="127.0.0.1", port=1, tls=False))
USER = UUID(int=5)
WRITES: dict[str, Callable[[UserData], Awaitable[object]]] = {
    "put": lambda data: data.put(USER, "a", b"1", "text/plain", None, None),
    "delete": lambda data: data.delete(USER, "a", None, None),
    "register": lambda data: data.register("us-west", "key"),
}


def user_data(error: BaseException | None) -> tuple[UserData, Remembering]:
    cache = Remembering()
    return UserData(Failing(error), cache, "us-west"), cache  # type: ignore[arg-type]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_after_a_commit_whose_outcome_is_unknown_the_caches_forget_and_ask_the_primary(
    write: Callable[[UserData], Awaitable[object]],
) -> None:
    data, cache = user_data(CommitUnknown("the answer was lost"))
    with pytest.raises(CommitUnknown):
        await write(data)
    ((how, key, floors),) = cache.told
    assert (how, floors) == ("waited", {3: (0, UNKNOWN)})
    assert key.startswith(("item:", "user:"))


@pytest.mark.parametrize("name", ["put", "delete"])
async def test_a_write_refused_for_its_version_shows_that_the_cached_one_may_be_old(name: str) -> None:
    error = asyncpg.PostgresError("the item is at version 2")
    error.sqlstate = PRECONDITION_FAILED
    data, cache = user_data(error)
    with pytest.raises(PreconditionFailed):
        await WRITES[name](data)
    assert [how for how, _, _ in cache.told] == ["waited"]


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_a_write_that_was_cancelled_may_have_been_done(write: Callable[[UserData], Awaitable[object]]) -> None:
    data, cache = user_data(None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await write(data)
    assert [how for how, _, _ in cache.told] == ["soon"]  # nobody waits for the answer any more


async def test_a_write_that_was_certainly_not_done_costs_the_cache_nothing() -> None:
    data, cache = user_data(DatabaseUnavailable("nothing was done"))
    with pytest.raises(DatabaseUnavailable):
        await WRITES["put"](data)
    assert cache.told == []
