"""Loads: one at a time in all processes, told of the writer's floors, stood in for while the source is away."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from app import deadlines
from app.cache import required_floors
from app.cache.records import LEASE_SECONDS
from tests.app.cache.conftest import MakeCache
from tests.app.cache.source import Source, User, peek, until
from tests.app.cache.workers import go, said, start_worker
from tests.app.fixtures_redis import Document, RedisRegions


async def test_a_thousand_waiters_in_four_processes_on_a_cold_key_are_one_load(
    redis_regions: RedisRegions, redis_document: Document, tmp_path: Path
) -> None:
    document = tmp_path / "document.json"
    document.write_bytes(redis_document().encode())
    workers = [start_worker(document, 250) for _ in range(4)]
    try:
        for worker in workers:
            assert await said(worker) == "ready"
        for worker in workers:
            go(worker)
        results = [json.loads(await said(worker)) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert [result["right"] for result in results] == [250] * 4
    assert sorted(result["loads"] for result in results) == [0, 0, 0, 1]
    with redis_regions.primaries["us-west"].client() as client:
        assert client.get("loads") == b"1"


async def test_a_process_that_dies_in_its_load_is_taken_over_from(
    redis_document: Document, tmp_path: Path, make_cache: MakeCache
) -> None:
    document = tmp_path / "document.json"
    document.write_bytes(redis_document().encode())
    worker = start_worker(document, 10, "die")
    try:
        assert await said(worker) == "ready"
        go(worker)
        assert await said(worker) == "loading"
    finally:
        worker.kill()
        worker.communicate()
    cache, source = await make_cache(), Source({"loaded": 2})
    began = time.monotonic()
    assert await cache.get_or_load("cold", source.load, dict) == {"loaded": 2}
    assert time.monotonic() - began < LEASE_SECONDS + 1
    assert source.loads == 1


@pytest.mark.parametrize("which", [0, 1, 9])
async def test_of_ten_waiters_one_is_cancelled_and_no_other_fails(make_cache: MakeCache, which: int) -> None:
    cache, source = await make_cache(), Source(User(1))
    source.seconds = 0.2
    waiters = [asyncio.create_task(cache.get_or_load("user:1", source.load, User)) for _ in range(10)]
    await asyncio.sleep(0.1)
    waiters[which].cancel()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert [result for number, result in enumerate(results) if number != which] == [User(1)] * 9
    assert isinstance(results[which], asyncio.CancelledError)
    assert source.loads == 1


async def test_a_load_whose_waiters_all_left_still_fills_the_cache(make_cache: MakeCache) -> None:
    cache, source = await make_cache(), Source(User(1))
    source.seconds = 0.1
    waiter = asyncio.create_task(cache.get_or_load("user:1", source.load, User))
    await asyncio.sleep(0.05)
    waiter.cancel()
    await asyncio.sleep(0.2)
    assert await peek(cache, "user:1", User) == User(1)


async def test_the_first_waiter_s_deadline_is_not_the_others(make_cache: MakeCache) -> None:
    cache, left = await make_cache(), []

    async def load() -> User:
        left.append(deadlines.remaining())
        return User(1)

    with deadlines.deadline(0.01):
        await cache.get_or_load("user:1", load, User)
    assert left == [float("inf")]


async def test_a_load_that_fails_fails_all_its_waiters_and_the_next_reader_tries_again(make_cache: MakeCache) -> None:
    cache, source = await make_cache(), Source(User(1))
    source.away, source.seconds = True, 0.05
    results = await asyncio.gather(
        *(cache.get_or_load("user:1", source.load, User) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(result, ConnectionRefusedError) for result in results)
    assert source.loads == 1
    source.away = False
    began = time.monotonic()
    assert await cache.get_or_load("user:1", source.load, User) == User(1)
    assert time.monotonic() - began < 1  # no lease of the failed load stands in the way


async def test_redis_gone_a_key_is_still_loaded_by_one_at_a_time(
    make_cache: MakeCache, redis_regions: RedisRegions
) -> None:
    cache, source = await make_cache(), Source(User(1))
    for server in redis_regions.caches["us-west"].servers:
        server.kill()
    await until(lambda: not cache.trusted)
    source.seconds = 0.1
    results = await asyncio.gather(*(cache.get_or_load("user:1", source.load, User) for _ in range(100)))
    assert results == [User(1)] * 100
    assert source.loads <= 2


async def test_the_writer_s_floors_reach_the_next_loader_and_no_later_one(make_cache: MakeCache) -> None:
    first, second = await make_cache(l2_ttl_seconds=0.2), await make_cache(l2_ttl_seconds=0.2)
    seen: list[Any] = []

    async def load() -> User:
        seen.append(required_floors())
        return User(1)

    await first.invalidate("user:1", floors={2: (1, 0x16B3748)})
    await second.get_or_load("user:1", load, User)
    await asyncio.sleep(0.3)
    await first.get_or_load("user:2", load, User)
    assert seen == [{2: (1, 0x16B3748)}, {}]


async def test_floors_outlive_a_loader_that_failed(make_cache: MakeCache) -> None:
    cache, seen = await make_cache(), []

    async def load() -> User:
        seen.append(required_floors())
        if len(seen) == 1:
            raise ConnectionRefusedError
        return User(1)

    await cache.invalidate("user:1", floors={2: (1, 7)})
    with pytest.raises(ConnectionRefusedError):
        await cache.get_or_load("user:1", load, User)
    await cache.get_or_load("user:1", load, User)
    assert seen == [{2: (1, 7)}] * 2


# The source away


async def test_a_value_whose_time_ran_out_stands_in_while_the_source_is_away(make_cache: MakeCache) -> None:
    cache, source = await make_cache(l2_ttl_seconds=0.1, ttl_seconds=0.05), Source(User(1))
    await cache.get_or_load("user:1", source.load, User)
    await asyncio.sleep(0.2)
    source.away = True
    for _ in range(3):
        assert await cache.get_or_load("user:1", source.load, User) == User(1)
    assert cache.stats.stale == 3
    source.away, source.value = False, User(1, "back")
    assert await cache.get_or_load("user:1", source.load, User) == User(1, "back")


async def test_an_invalidated_value_never_stands_in(make_cache: MakeCache) -> None:
    cache, source = await make_cache(l2_ttl_seconds=0.1, ttl_seconds=0.05), Source(User(1))
    await cache.get_or_load("user:1", source.load, User)
    await asyncio.sleep(0.2)
    await cache.invalidate("user:1")
    source.away = True
    with pytest.raises(ConnectionRefusedError):
        await cache.get_or_load("user:1", source.load, User)


async def test_an_error_that_is_the_loader_s_own_is_not_covered_up(make_cache: MakeCache) -> None:
    cache, source = await make_cache(l2_ttl_seconds=0.1, ttl_seconds=0.05), Source(User(1))
    await cache.get_or_load("user:1", source.load, User)
    await asyncio.sleep(0.2)

    async def broken() -> User:
        raise KeyError("a mistake")

    with pytest.raises(KeyError):
        await cache.get_or_load("user:1", broken, User)
