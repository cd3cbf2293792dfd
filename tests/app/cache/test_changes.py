"""Changes: after an invalidation has returned, nobody it reached reads what was before it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from app.cache.records import PREFIX
from lab.servers.redis import RedisServer
from tests.app.cache.conftest import MakeCache
from tests.app.cache.source import Source, User, peek, put, until
from tests.app.cache.workers import said, start_worker
from tests.app.fixtures_redis import Document, RedisRegions


def owner(regions: RedisRegions, key: str, region: str = "us-west") -> RedisServer:
    """The node that holds `key`."""
    servers = regions.caches[region].servers
    with servers[0].client() as client:
        slot = client.execute_command("CLUSTER", "KEYSLOT", PREFIX + key)
        for first, last, (_, port, *_), *_ in client.execute_command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(server for server in servers if server.port == port)
    raise AssertionError


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
    assert [await peek(cache, "user:1", User) for cache in (first, second)] == [None, None]
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
    assert await peek(cache, "user:1", User) == User(1, "new")


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


async def test_an_invalidation_goes_on_when_its_caller_leaves(make_cache: MakeCache) -> None:
    first, second = await make_cache(), await make_cache()
    await put(first, "user:1", User(1))
    assert await peek(second, "user:1", User) == User(1)
    task = asyncio.create_task(first.invalidate("user:1"))
    await asyncio.sleep(0)
    task.cancel()
    await until(lambda: second.stats.l1_entries == 0)
    assert await peek(second, "user:1", User) is None


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
