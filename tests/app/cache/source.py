"""What the cache's tests load: a value, a source that counts its loads, and a wait for what comes soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec


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
