"""`Changes`: a value invalidated, in this process, in the region's L2 and its other processes, in the other regions."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from app.cache import records
from app.cache.levels import Levels
from app.cache.records import Floors
from app.redis.away import FAILURES, is_away

log = logging.getLogger(__name__)


class Invalidation(msgspec.Struct, frozen=True):
    """What an invalidation reached when it returned. `here`: this region's L2 took it (app/cache/cache.py says what
    holds where it did not). `pending`: regions still being told."""

    here: bool
    pending: tuple[str, ...]


class Changes:
    """Makes old values unreadable."""

    def __init__(self, levels: Levels) -> None:
        self._levels = levels
        self._tasks: set[asyncio.Task[Invalidation]] = set()

    def begin(self, key: str, floors: Floors | None) -> asyncio.Task[Invalidation]:
        """Invalidate `key` in a task of its own, which goes on whoever waits for it."""
        task = asyncio.create_task(self._everywhere(key, records.encode_floors(floors)), name=f"invalidate {key}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self) -> None:
        """Wait for those under way: each ends within the time of the trust."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Invalidation]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: its caller may have left

    async def _everywhere(self, key: str, floors: bytes) -> Invalidation:
        levels = self._levels
        levels.forget(key)
        for region in levels.clients.other_regions:
            levels.delivery.tell(region, key, floors)
        number, message = levels.coherence.message(key)
        subscribers, node, problem = None, "", None
        try:
            count, name = await levels.run(
                records.INVALIDATE, key, records.new_generation(), floors, levels.keep_ms, message
            )
            subscribers, node = int(count), name.decode()
        except FAILURES as error:
            log.warning("the cache was not told of an invalidation, which goes on: %s", error)
            problem = error
            levels.delivery.tell(levels.region, key, floors)
        await levels.coherence.settle(number, subscribers, node)
        levels.forget(key)
        if problem is not None and not is_away(problem):
            raise problem
        return Invalidation(problem is None, tuple(levels.delivery.regions_owed(key)))
