"""The cache's two levels, on real Redis clusters, by counts; and with Redis away."""

from __future__ import annotations

import asyncio
import time

from tests.app.cache.conftest import MakeCache
from tests.app.cache.source import Source, User, peek, put, until
from tests.app.fixtures_redis import RedisRegions


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
        assert await peek(second, "user:1", User) == User(1, "a")
    assert (second.stats.l1_hits, second.stats.l2_hits, second.stats.misses) == (2, 1, 0)


async def test_a_key_that_neither_level_has_is_asked_of_the_source(make_cache: MakeCache) -> None:
    cache = await make_cache()
    assert await peek(cache, "nobody", User) is None


async def test_a_value_comes_back_as_the_type_that_was_asked_for_or_not_at_all(make_cache: MakeCache) -> None:
    cache = await make_cache()
    await put(cache, "user:1", User(1, "a"))
    assert await peek(cache, "user:1", User) == User(1, "a")
    assert await peek(cache, "user:1", dict) is None
    assert await peek(cache, "user:1", User) == User(1, "a")


async def test_l2_s_lifetime_ends_on_redis_s_clock(make_cache: MakeCache) -> None:
    cache, source = await make_cache(l2_ttl_seconds=0.2, ttl_seconds=0.05), Source(User(1))
    await cache.get_or_load("user:1", source.load, User)
    await asyncio.sleep(0.3)
    assert await peek(cache, "user:1", User) is None
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


async def test_keys_with_braces_colons_and_unicode_are_kept_apart(make_cache: MakeCache) -> None:
    cache = await make_cache()
    keys = ["{a}:1", "{a}:2", "a:{1", "é", "a b", "a\0b", ":"]
    for number, key in enumerate(keys):
        await put(cache, key, User(number))
    reader = await make_cache()
    assert [await peek(reader, key, User) for key in keys] == [User(number) for number in range(len(keys))]


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


async def test_a_cache_that_was_not_started_reads_l2_and_trusts_no_l1(make_cache: MakeCache) -> None:
    started, other = await make_cache(), await make_cache(started=False)
    await put(started, "user:1", User(1, "a"))
    for _ in range(3):
        assert await peek(other, "user:1", User) == User(1, "a")
    assert (other.stats.l1_hits, other.stats.l2_hits) == (0, 3)
