"""Invalidations and fills in every order, over real Redis: after a
write is acknowledged nobody reads what was before it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from app.cache import DistributedCache
from app.redis.clients import RedisClients
from tests.app.fixtures_redis import Document

PROCESSES = 2
STEPS = st.tuples(
    st.sampled_from(["load", "load", "write", "finish"]),
    st.integers(0, PROCESSES - 1),
    st.sampled_from(["settled", "settled", "at once"]),
)
"""What happens, in which process, and whether it may get as far as it can before the next step."""


class History:
    """One key's source, the writes that were acknowledged, and every read checked against them."""

    def __init__(self, caches: list[DistributedCache]) -> None:
        self.caches = caches
        self.source = self.acknowledged = 0
        self.loading: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.free = False

    async def load(self) -> int:
        """The source is read at once; the answer is under way until a step lets it arrive."""
        value, arrived = self.source, asyncio.Event()
        self.loading.append(arrived)
        if not self.free:
            await arrived.wait()
        return value

    async def read(self, process: int) -> None:
        least = self.acknowledged
        cache = self.caches[process]
        value = await cache.get_or_load("key", self.load, int)
        assert value is None or value >= least, f"{value} after {least} was acknowledged"

    async def write(self, process: int) -> None:
        self.source += 1
        value = self.source
        await self.caches[process].invalidate("key")
        self.acknowledged = max(self.acknowledged, value)

    async def step(self, what: str, number: int, pace: str) -> None:
        loading = len(self.loading)
        if what == "finish":
            if self.loading:
                self.loading.pop(number % len(self.loading)).set()
                await asyncio.sleep(0.01 if pace == "settled" else 0)
            return
        act = self.write(number) if what == "write" else self.read(number)
        task = asyncio.create_task(act)
        self.tasks.append(task)
        await asyncio.sleep(0)
        for _ in range(40 if pace == "settled" else 0):
            if task.done() or len(self.loading) > loading:
                return  # done, or in the middle of its load
            await asyncio.sleep(0.001)

    async def end(self) -> None:
        self.free = True
        while any(not task.done() for task in self.tasks):
            for arrived in self.loading:
                arrived.set()
            await asyncio.sleep(0.002)
        await asyncio.gather(*self.tasks)
        for process in range(PROCESSES):
            await self.read(process)


async def run(document: Any, steps: list[tuple[str, int, str]]) -> None:
    clients = [RedisClients(document) for _ in range(PROCESSES)]
    caches = [DistributedCache(each) for each in clients]
    for cache in caches:
        await cache.start()
    try:
        history = History(caches)
        await caches[0].invalidate("key")
        for what, number, pace in steps:
            await history.step(what, number, pace)
        await history.end()
    finally:
        for cache, each in zip(caches, clients, strict=True):
            await cache.close()
            await each.close()


def test_whatever_the_order_no_old_value_is_read_after_the_writer_s_acknowledgement(redis_document: Document) -> None:
    document = redis_document()

    @settings(
        max_examples=50,
        phases=[Phase.generate],  # to shrink over real time takes longer than to read the steps
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.lists(STEPS, min_size=4, max_size=25))
    def holds(steps: list[tuple[str, int, str]]) -> None:
        asyncio.run(run(document, steps))

    holds()
