"""`Loads`: what neither level has comes from its source, once at a time in all processes.

Of the processes that find no fresh value in L2 one claims the key for `LEASE_SECONDS` and loads; the others poll.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from app.cache import records
from app.cache.levels import Levels
from app.cache.records import LEASE_SECONDS
from app.redis.away import AWAY

POLL_SECONDS = 0.01
"""First pause of a process that waits for another's load; it doubles up to `POLL_MOST_SECONDS`."""
POLL_MOST_SECONDS = 0.1

_floors: contextvars.ContextVar[dict[int, tuple[int, int]]] = contextvars.ContextVar("required_floors")


def required_floors() -> dict[int, tuple[int, int]]:
    """Inside a loader: by shard, the epoch and LSN its read must have reached, so as not to fill in an old value."""
    return _floors.get({})


class Loads(Levels):
    """The part of `DistributedCache` that loads."""

    async def _fill(self, key: str, loader: Callable[[], Awaitable[Any]], type: Any, ttl: float | None) -> Any:
        """One flight: (value, level), where level 2 is an answer of L2 and 0 a load or a stale value."""
        generation = records.new_generation()
        pause = POLL_SECONDS
        while True:
            since = self._sequence.now
            try:
                payload = records.fresh_payload(await self._read(key))
                if payload is not None:
                    return self._keep_local(key, payload, type, since), 2
                answer = await self._script(records.CLAIM, key, generation, int(LEASE_SECONDS * 1000), self.keep_ms)
            except AWAY:
                return await self._load(key, loader, type, ttl, None, since, {}, b"")
            if answer[0] == b"value":
                return self._keep_local(key, answer[1][9:], type, since), 2
            if answer[0] == b"claimed":
                floors = records.decode_floors(answer[1])
                return await self._load(key, loader, type, ttl, generation, since, floors, answer[2])
            await asyncio.sleep(min(pause, int(answer[1]) / 1000) * (0.5 + secrets.randbelow(512) / 1024))
            pause = min(pause * 2, POLL_MOST_SECONDS)

    async def _load(
        self,
        key: str,
        loader: Callable[[], Awaitable[Any]],
        type: Any,
        ttl: float | None,
        generation: bytes | None,
        since: int,
        floors: dict[int, tuple[int, int]],
        stale: bytes,
    ) -> Any:
        self._loads += 1
        _floors.set(floors)
        try:
            value = await loader()
        except BaseException as error:
            if generation is not None:
                with contextlib.suppress(*AWAY):
                    await self._script(records.RELEASE, key, generation)
            if stale and isinstance(error, self._unavailable) and self._sequence.unchanged(key, since):
                self._stale += 1
                return self._decode(records.stale_payload(stale), type), 0
            raise
        kind, payload, fresh = self._record(value, ttl)
        stored = True
        if generation is not None:
            with contextlib.suppress(*AWAY):
                stored = bool(
                    await self._script(
                        records.STORE, key, generation, kind, payload, int(fresh * 1000), self._keep_ms(fresh)
                    )
                )
        if not stored:
            self._refused += 1
        elif self._sequence.unchanged(key, since):
            self._local.put(key, value, type, len(payload), min(fresh, self.config.ttl_seconds))
        return value, 0
