"""Caches over real Redis, as several processes would have them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest_asyncio

from app.cache import DistributedCache
from app.deployment import CacheConfig
from app.redis.clients import RedisClients
from tests.app.fixtures_redis import Document

MakeCache = Callable[..., Awaitable[DistributedCache]]


@pytest_asyncio.fixture
async def make_cache(redis_document: Document) -> AsyncIterator[MakeCache]:
    """`await make_cache("eu-central", l2_ttl_seconds=1)`: a started cache of its own process there."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(region: str = "us-west", *, started: bool = True, **config: Any) -> DistributedCache:
            clients = RedisClients(redis_document(region))
            stack.push_async_callback(clients.close)
            cache = DistributedCache(clients, CacheConfig(**config))
            stack.push_async_callback(cache.close)
            if started:
                await cache.start()
                assert cache.trusted
            return cache

        yield make
