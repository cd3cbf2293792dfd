"""What the cache's tests load: a value, a source that counts its loads, and a wait for what comes soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from app.cache import DistributedCache


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


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.005)


class _Nowhere(Exception):
    """Neither level has it."""


async def peek(cache: DistributedCache, key: str, type: Any) -> Any:
    """What the two levels have under `key`; None where they have nothing, or an absence."""

    async def load() -> Any:
        raise _Nowhere

    try:
        return await cache.get_or_load(key, load, type)
    except _Nowhere:
        return None


async def put(cache: DistributedCache, key: str, value: Any) -> None:
    """Have `key` loaded as `value`, in place of what was there."""
    await cache.invalidate(key)
    assert await cache.get_or_load(key, Source(value).load, type(value)) == value
