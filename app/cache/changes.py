"""`Changes`: a value set or invalidated, in this process, in the region's L2 and its other processes, in the other regions."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from app.cache import records
from app.cache.levels import Levels
from app.cache.records import Floors
from app.redis.away import FAILURES, is_away

log = logging.getLogger(__name__)


class Invalidation(msgspec.Struct, frozen=True):
    """What an invalidation reached when it returned. `here`: see above. `pending`: regions still being told."""

    here: bool
    pending: tuple[str, ...]


class Changes(Levels):
    """The part of `DistributedCache` that changes and invalidates."""

    async def set(self, key: str, value: Any, *, ttl: float | None = None) -> Invalidation:
        """Put `value` (None: an absence) under `key` in this region and invalidate it in the others.

        Whoever sets must know that the value is current: two writers at once are not put in order. For what comes
        from a database, `invalidate` after the commit and let the next reader load.
        """
        kind, payload, fresh = self._record(value, ttl)
        keep = self._keep_ms(fresh)
        return await self._change(key, None, records.REPLACE, (kind, payload, int(fresh * 1000), keep))

    async def invalidate(self, key: str, *, floors: Floors | None = None) -> Invalidation:
        """Make `key`'s old value unreadable, everywhere. Call it after the commit and before acknowledging.

        `floors`: by shard the epoch and LSN of the commit, for the loads that follow (`required_floors`).
        It goes on when the caller is cancelled. A cache that is away raises nothing: `Invalidation` says what was
        reached. One that answers with an error raises it, once nobody can read the old value from an L1.
        """
        encoded = records.encode_floors(floors)
        return await self._change(key, encoded, records.INVALIDATE, (records.new_generation(), encoded, self.keep_ms))

    async def _change(self, key: str, floors: bytes | None, script: Any, args: tuple[Any, ...]) -> Invalidation:
        task = asyncio.create_task(self._change_everywhere(key, floors or b"", script, args), name=f"invalidate {key}")
        return await asyncio.shield(task)

    async def _change_everywhere(self, key: str, floors: bytes, script: Any, args: tuple[Any, ...]) -> Invalidation:
        self._forget(key)
        for region in self._clients.other_regions:
            self._delivery.tell(region, key, floors)
        number, message = self._coherence.message(key)
        subscribers, node, problem = None, "", None
        try:
            count, name = await self._script(script, key, *args, message)
            subscribers, node = int(count), name.decode()
        except FAILURES as error:
            log.warning("the cache was not told of an invalidation, which goes on: %s", error)
            problem = error
            self._delivery.tell(self._clients.region, key, floors)
        await self._coherence.settle(number, subscribers, node)
        self._forget(key)
        if problem is not None and not is_away(problem):
            raise problem
        return Invalidation(problem is None, tuple(self._delivery.regions_owed(key)))
