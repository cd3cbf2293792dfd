"""The cache: a hit in L1 and in L2, next to an empty coroutine, a bare GET, cashews and aiocache.

The value is the same frozen struct for all; the peers hold it in memory as ours does, without a serializer.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from app.cache import DistributedCache
from app.cache.records import PREFIX
from bench.app import Measured, Measurement, interleaved, seconds_of_each
from bench.app.redis_servers import region

CALLS = 20_000
SLOW_CALLS = 2_000
ROUND_TRIPS = 500


class User(msgspec.Struct, frozen=True):
    """A value as a service caches it."""

    id: int
    name: str
    roles: tuple[str, ...]


USER = User(1, "Dave Bowman", ("crew", "eva"))
KEY = "user:1"


async def _empty() -> None:
    return None


async def _source() -> User:
    return USER


async def _hit_against(peer: Callable[..., Awaitable[Any]], *args: Any, cost: bool, calls: int) -> Measured:
    async with region() as clients:
        cache = DistributedCache(clients)
        await cache.start()
        assert await cache.get_or_load(KEY, _source, User) == USER
        measured = await interleaved(
            seconds_of_each(CALLS, cache.get_or_load, KEY, _source, User),
            seconds_of_each(calls, peer, *args),
            "cost" if cost else "speed",
        )
        assert cache.stats.l1_hits > 0.99 * CALLS * 15
        await cache.close()
        return measured


async def _l1_hit() -> Measured:
    return await _hit_against(_empty, cost=True, calls=CALLS)


async def _cashews_get() -> Measured:
    from cashews import Cache

    peer = Cache()
    peer.setup("mem://")
    await peer.set(KEY, USER, expire=60)
    assert await peer.get(KEY) == USER
    return await _hit_against(peer.get, KEY, cost=False, calls=SLOW_CALLS)


async def _aiocache_get() -> Measured:
    from aiocache import SimpleMemoryCache  # type: ignore[import-untyped]
    from aiocache.serializers import NullSerializer  # type: ignore[import-untyped]

    peer = SimpleMemoryCache(serializer=NullSerializer(), timeout=None)
    await peer.set(KEY, USER)
    assert await peer.get(KEY) == USER
    return await _hit_against(peer.get, KEY, cost=False, calls=SLOW_CALLS)


async def _l2_hit() -> Measured:
    async with region() as clients:
        cache = DistributedCache(clients)
        await cache.start()
        await cache.get_or_load(KEY, _source, User)
        client = clients.cache("bench")

        async def ours() -> float:
            began = time.perf_counter()
            for _ in range(ROUND_TRIPS):
                cache._levels.local.discard(KEY)  # noqa: SLF001 - no request empties L1
                await cache.get_or_load(KEY, _source, User)
            return (time.perf_counter() - began) / ROUND_TRIPS

        measured = await interleaved(
            ours, seconds_of_each(ROUND_TRIPS, client.execute_command, "GET", PREFIX + KEY), "cost"
        )
        assert cache.stats.misses == 1  # the first load
        assert cache.stats.l1_hits == 0
        await cache.close()
        return measured


MEASUREMENTS = [
    Measurement("L1 hit", "an empty coroutine", "at most", 2.5, _l1_hit),
    Measurement("get", "cashews, memory", "at least", 10, _cashews_get, "cashews"),
    Measurement("get", "aiocache, memory, no serializer, no time-out", "at least", 5, _aiocache_get, "aiocache"),
    Measurement("L2 hit", "a bare GET on the same connections", "at most", 1.15, _l2_hit, "redis"),
]
