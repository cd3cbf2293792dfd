"""The cache's promises, on real Redis clusters, by counts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.cache import required_floors
from app.cache.cache import LEASE_SECONDS
from app.cache.records import PREFIX
from lab.redis import RedisServer
from tests.app.cache.conftest import MakeCache
from tests.app.fixtures_redis import Document, RedisRegions


class User(msgspec.Struct, frozen=True):
    id: int
    name: str = ""


class Source:
    """Where values come from: counts its loads, can be slow, can be away."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.loads = 0
        self.away = False
        self.seconds = 0.0

    async def load(self) -> Any:
        self.loads += 1
        value = self.value
        await asyncio.sleep(self.seconds)
        if self.away:
            raise ConnectionRefusedError("the source is away")
        return value


def owner(regions: RedisRegions, key: str, region: str = "us-west") -> RedisServer:
    """The node that holds `key`."""
    servers = regions.caches[region].servers
    with servers[0].client() as client:
        slot = client.execute_command("CLUSTER", "KEYSLOT", PREFIX + key)
        for first, last, (_, port, *_), *_ in client.execute_command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(server for server in servers if server.port == port)
    raise AssertionError


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.005)


# Levels


async def test_a_value_is_loaded_once_and_then_comes_from_l1(make_cache: MakeCache) -> None:
    cache, source = await make_cache(), Source(User(1, "a"))
    for _ in range(5):
        assert await cache.get_or_load("user:1", source.load, User) == User(1, "a")
    assert source.loads == 1
    assert (cache.stats.l1_hits, cache.stats.l2_hits, cache.stats.misses) == (4, 0, 1)


async def test_another_process_finds_it_in_l2_and_keeps_it_in_l1(make_cache: MakeCache) -> None:
    first, second, source = await make_cache(), await make_cache(), Source(User(1, "a"))
    await first.get_or_load("user:1", source.load, User)
    for _ in range(3):
        assert await second.get("user:1", User) == User(1, "a")
    assert (second.stats.l1_hits, second.stats.l2_hits, second.stats.misses) == (2, 1, 0)


async def test_a_key_that_neither_level_has_is_none_and_a_miss(make_cache: MakeCache) -> None:
    cache = await make_cache()
    assert await cache.get("nobody", User) is None
    assert cache.stats.misses == 1


async def test_a_value_comes_back_as_the_type_that_was_asked_for(make_cache: MakeCache) -> None:
    cache = await make_cache()
    await cache.set("user:1", User(1, "a"))
    assert await cache.get("user:1", User) == User(1, "a")
    assert await cache.get("user:1", dict) == {"id": 1, "name": "a"}
    assert await cache.get("user:1", User) == User(1, "a")


async def test_l2_s_lifetime_ends_on_redis_s_clock(make_cache: MakeCache) -> None:
    cache, source = await make_cache(l2_ttl_seconds=0.2, ttl_seconds=0.05), Source(User(1))
    await cache.get_or_load("user:1", source.load, User)
    await asyncio.sleep(0.3)
    assert await cache.get("user:1", User) is None
    await cache.get_or_load("user:1", source.load, User)
    assert source.loads == 2


async def test_an_absence_is_kept_briefly(make_cache: MakeCache) -> None:
    cache, source = await make_cache(negative_ttl_seconds=0.3), Source(None)
    for _ in range(5):
        assert await cache.get_or_load("nobody", source.load, User) is None
    assert source.loads == 1
    await asyncio.sleep(0.4)
    await cache.get_or_load("nobody", source.load, User)
    assert source.loads == 2


async def test_a_decorated_function_is_called_once_for_its_arguments(make_cache: MakeCache) -> None:
    cache, calls = await make_cache(), []

    @cache.cached("user:{number}", User)
    async def user(number: int, source: str = "db") -> User | None:
        calls.append((number, source))
        return User(number)

    for number in (1, 2, 1, 2):
        assert await user(number) == User(number)
    assert calls == [(1, "db"), (2, "db")]


async def test_keys_with_braces_colons_and_unicode_are_kept_apart(make_cache: MakeCache) -> None:
    cache = await make_cache()
    keys = ["{a}:1", "{a}:2", "a:{1", "é", "a b", "a\0b", ":"]
    for number, key in enumerate(keys):
        await cache.set(key, User(number))
    reader = await make_cache()
    assert [await reader.get(key, User) for key in keys] == [User(number) for number in range(len(keys))]


# Single flight


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


def start_worker(document: Path, waiters: int, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.app.cache.worker", str(document), str(waiters), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


async def said(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return (await asyncio.wait_for(asyncio.to_thread(worker.stdout.readline), 30)).strip()


def go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()


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
    assert await cache.get("user:1", User) == User(1)


async def test_the_first_waiter_s_deadline_is_not_the_others(make_cache: MakeCache) -> None:
    from app import deadlines

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


# Invalidation


async def test_after_an_invalidation_no_process_of_the_region_has_the_old_value(make_cache: MakeCache) -> None:
    caches = [await make_cache() for _ in range(3)]
    source = Source(User(1, "old"))
    for cache in caches:
        await cache.get_or_load("user:1", source.load, User)
    for number in range(20):
        source.value = User(1, str(number))
        reach = await caches[number % 3].invalidate("user:1")
        assert reach.here
        for cache in caches:
            assert await cache.get_or_load("user:1", source.load, User) == source.value


async def test_an_invalidation_takes_a_round_trip_and_not_the_time_of_the_trust(make_cache: MakeCache) -> None:
    first, _ = await make_cache(), await make_cache()
    began = time.monotonic()
    for _ in range(20):
        await first.invalidate("user:1")
    assert time.monotonic() - began < 2


async def test_a_fill_that_an_invalidation_overtook_is_stored_nowhere(make_cache: MakeCache) -> None:
    first, second, source = await make_cache(), await make_cache(), Source(User(1, "old"))
    source.seconds = 0.2
    late = asyncio.create_task(first.get_or_load("user:1", source.load, User))
    await asyncio.sleep(0.1)
    source.value = User(1, "new")
    await second.invalidate("user:1")
    assert await late == User(1, "old")  # it asked before the write
    assert first.stats.fills_refused == 1
    assert [await cache.get("user:1", User) for cache in (first, second)] == [None, None]
    for cache in (first, second):
        assert await cache.get_or_load("user:1", source.load, User) == User(1, "new")


async def test_a_reader_after_the_invalidation_does_not_join_a_load_from_before_it(make_cache: MakeCache) -> None:
    cache, source = await make_cache(), Source(User(1, "old"))
    source.seconds = 0.3
    late = asyncio.create_task(cache.get_or_load("user:1", source.load, User))
    await asyncio.sleep(0.1)
    source.value, source.seconds = User(1, "new"), 0.0
    await cache.invalidate("user:1")
    assert await cache.get_or_load("user:1", source.load, User) == User(1, "new")
    await late
    assert await cache.get("user:1", User) == User(1, "new")


async def test_an_invalidation_reaches_the_other_regions(make_cache: MakeCache) -> None:
    here, there, source = await make_cache("us-west"), await make_cache("ap-south"), Source(User(1, "old"))
    for cache in (here, there):
        await cache.get_or_load("user:1", source.load, User)
    source.value = User(1, "new")
    await here.invalidate("user:1")
    await until(lambda: here.stats.undelivered == 0)
    await until(lambda: there.stats.l1_entries == 0)
    assert await there.get_or_load("user:1", source.load, User) == User(1, "new")


async def test_a_region_that_was_away_is_told_when_it_comes_back(
    make_cache: MakeCache, redis_regions: RedisRegions
) -> None:
    here, there, source = await make_cache("us-west"), await make_cache("ap-south"), Source(User(1, "old"))
    for cache in (here, there):
        await cache.get_or_load("user:1", source.load, User)
    for server in redis_regions.caches["ap-south"].servers:
        server.process.suspend()
    source.value = User(1, "new")
    reach = await here.invalidate("user:1")
    assert reach.here
    assert "ap-south" in reach.pending
    for server in redis_regions.caches["ap-south"].servers:
        server.process.resume()
    await until(lambda: here.stats.undelivered == 0, 20)
    await until(lambda: there.trusted)
    assert await there.get_or_load("user:1", source.load, User) == User(1, "new")


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


async def test_an_invalidation_goes_on_when_its_caller_leaves(make_cache: MakeCache) -> None:
    first, second = await make_cache(), await make_cache()
    await first.set("user:1", User(1))
    assert await second.get("user:1", User) == User(1)
    task = asyncio.create_task(first.invalidate("user:1"))
    await asyncio.sleep(0)
    task.cancel()
    await until(lambda: second.stats.l1_entries == 0)
    assert await second.get("user:1", User) is None


async def test_set_replaces_the_value_in_every_process(make_cache: MakeCache) -> None:
    first, second = await make_cache(), await make_cache()
    await first.set("user:1", User(1, "old"))
    assert await second.get("user:1", User) == User(1, "old")
    await first.set("user:1", User(1, "new"))
    assert await second.get("user:1", User) == User(1, "new")


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


# Redis away


async def test_redis_gone_every_read_is_answered_by_the_source(
    make_cache: MakeCache, redis_regions: RedisRegions
) -> None:
    cache, source = await make_cache(), Source(User(1))
    await cache.get_or_load("user:1", source.load, User)
    for server in redis_regions.caches["us-west"].servers:
        server.kill()
    await until(lambda: not cache.trusted)
    source.value = User(1, "new")
    for _ in range(30):
        assert await cache.get_or_load("user:1", source.load, User) == User(1, "new")
    assert source.loads == 31


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


async def test_redis_frozen_reads_are_slow_once_and_then_refused_by_the_breaker(
    make_cache: MakeCache, redis_regions: RedisRegions
) -> None:
    cache, source = await make_cache(), Source(User(1))
    for server in redis_regions.caches["us-west"].servers:
        server.process.suspend()
    async with asyncio.timeout(10):
        await asyncio.gather(*(cache.get_or_load(f"user:{n}", source.load, User) for n in range(20)))
    began = time.monotonic()
    await asyncio.gather(*(cache.get_or_load(f"user:{n}", source.load, User) for n in range(20)))
    assert time.monotonic() - began < 0.5


async def test_redis_back_the_cache_caches_again(make_cache: MakeCache, redis_regions: RedisRegions) -> None:
    cache, source = await make_cache(), Source(User(1))
    cluster = redis_regions.caches["us-west"]
    for server in cluster.servers:
        server.kill()
    await until(lambda: not cache.trusted)
    for server in cluster.servers:
        server.start()
    await asyncio.to_thread(cluster.wait_until_whole)
    await until(lambda: cache.trusted, 20)
    await asyncio.sleep(1.1)  # the breaker's probe
    await cache.get_or_load("user:1", source.load, User)
    loads = source.loads
    await cache.get_or_load("user:1", source.load, User)
    assert source.loads == loads


async def test_a_writer_whose_node_is_frozen_says_so_and_its_own_reads_pass_l2_by(
    make_cache: MakeCache, redis_regions: RedisRegions
) -> None:
    cache, source = await make_cache(), Source(User(1, "old"))
    await cache.get_or_load("user:1", source.load, User)
    node = owner(redis_regions, "user:1")
    node.process.suspend()
    source.value = User(1, "new")
    reach = await cache.invalidate("user:1")
    assert (reach.here, "us-west" in reach.pending) == (False, True)
    node.process.resume()
    assert await cache.get_or_load("user:1", source.load, User) == User(1, "new")
    await until(lambda: cache.stats.undelivered == 0, 20)
    assert await cache.get_or_load("user:1", source.load, User) == User(1, "new")


async def test_a_cache_that_was_not_started_reads_l2_and_trusts_no_l1(make_cache: MakeCache) -> None:
    started, other = await make_cache(), await make_cache(started=False)
    await started.set("user:1", User(1, "a"))
    for _ in range(3):
        assert await other.get("user:1", User) == User(1, "a")
    assert (other.stats.l1_hits, other.stats.l2_hits) == (0, 3)


async def test_a_process_that_hears_nothing_delays_a_writer_once_and_serves_nothing_old(
    make_cache: MakeCache, redis_document: Document, tmp_path: Path
) -> None:
    cache = await make_cache()
    document = tmp_path / "document.json"
    document.write_bytes(redis_document().encode())
    worker = start_worker(document, 1)
    try:
        assert await said(worker) == "ready"
        os.kill(worker.pid, signal.SIGSTOP)
        waits = []
        for _ in range(3):
            began = time.monotonic()
            await cache.invalidate("user:1")
            waits.append(time.monotonic() - began)
    finally:
        worker.kill()
        worker.communicate()
    assert 0.9 < waits[0] < 2
    assert waits[2] < 0.5
