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

Unavailable = tuple[type[BaseException], ...]

_floors: contextvars.ContextVar[dict[int, tuple[int, int]]] = contextvars.ContextVar("required_floors")


def required_floors() -> dict[int, tuple[int, int]]:
    """Inside a loader: by shard, the epoch and LSN its read must have reached, so as not to fill in an old value."""
    return _floors.get({})


class Loads:
    """Fills what is missing. `unavailable` are a loader's errors for which a stale value may stand in."""

    def __init__(self, levels: Levels, unavailable: Unavailable) -> None:
        self._levels = levels
        self._unavailable = unavailable
        self.loads = self.stale = self.refused = 0

    async def fill(self, key: str, loader: Callable[[], Awaitable[Any]], type: Any, ttl: float | None) -> Any:
        """One flight: (value, level), where level 2 is an answer of L2 and 0 a load or a stale value."""
        levels, schema = self._levels, self._levels.schema(type)
        generation = records.new_generation()
        pause = POLL_SECONDS
        while True:
            since = levels.sequence.now
            try:
                try:
                    payload = records.fresh_payload(await levels.read(key), schema)
                    if payload is not None:
                        return levels.keep(key, payload, type, since), 2
                except records.OtherVersion as error:
                    levels.note_unreadable(key, error)
                except records.Unreadable as error:
                    levels.note_unreadable(key, error)
                    schema = records.NO_SCHEMA
                answer = await levels.run(
                    records.CLAIM, key, generation, int(LEASE_SECONDS * 1000), levels.keep_ms, schema
                )
            except AWAY:
                return await self._load(key, loader, type, ttl, None, since, {}, b"")
            if answer[0] == b"value":
                with contextlib.suppress(records.Unreadable):
                    return levels.keep(key, records.payload_of(answer[1]), type, since), 2
                schema = records.NO_SCHEMA
                continue
            if answer[0] == b"claimed":
                return await self._claimed(key, loader, type, ttl, generation, since, answer[1], answer[2])
            await asyncio.sleep(min(pause, int(answer[1]) / 1000) * (0.5 + secrets.randbelow(512) / 1024))
            pause = min(pause * 2, POLL_MOST_SECONDS)

    async def _claimed(
        self,
        key: str,
        loader: Callable[[], Awaitable[Any]],
        type: Any,
        ttl: float | None,
        generation: bytes,
        since: int,
        floors: bytes,
        stale: bytes,
    ) -> Any:
        try:
            required = records.decode_floors(floors)
        except records.Unreadable as error:
            # How new the value must be is not known, so what is loaded is not kept.
            self._levels.note_unreadable(key, error)
            return await self._load(key, loader, type, ttl, None, since, {}, b"", keep=False)
        return await self._load(key, loader, type, ttl, generation, since, required, stale)

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
        *,
        keep: bool = True,
    ) -> Any:
        levels = self._levels
        self.loads += 1
        _floors.set(floors)
        try:
            value = await loader()
        except BaseException as error:
            if generation is not None:
                with contextlib.suppress(*AWAY):
                    await levels.run(records.RELEASE, key, generation)
            old = records.stale_payload(stale, levels.schema(type))
            if old and isinstance(error, self._unavailable) and levels.sequence.unchanged(key, since):
                with contextlib.suppress(records.Unreadable):
                    value = levels.decode(old, type)
                    self.stale += 1
                    return value, 0
            raise
        kind, payload, fresh = levels.record(value, ttl)
        stored = keep
        if generation is not None:
            with contextlib.suppress(*AWAY):
                stored = bool(
                    await levels.run(
                        records.STORE,
                        key,
                        generation,
                        *records.head(kind, levels.schema(type)),
                        payload,
                        int(fresh * 1000),
                        levels.keep_for(fresh),
                    )
                )
        if not stored:
            self.refused += 1
        elif levels.sequence.unchanged(key, since):
            levels.local.put(key, value, type, len(payload), min(fresh, levels.config.ttl_seconds))
        return value, 0
