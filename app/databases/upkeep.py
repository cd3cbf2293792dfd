"""What a process does for its databases in the background: map, primaries, replica lag, and expired keys."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import asyncpg

from app.databases.pools import DatabaseUnavailable, InstancePool
from app.databases.shards import Shards

log = logging.getLogger(__name__)

MAP_SECONDS = 30.0
"""How often the map is refreshed unasked. Writes find a move out at once; this is for who only reads."""
PRIMARY_SECONDS = 5.0
"""How often each shard's instances are asked which is the primary. A failing write asks at once; this finds a former
primary that came back before anybody writes to it for long, and a replica that follows again."""
LAG_SECONDS = 5.0
PURGE_SECONDS = 600.0
PURGE_BATCH = 5000
"""Expired idempotency keys deleted in one statement, so that none runs long or holds many locks."""
PURGE_LOCK = 0x4A11_9001
"""Advisory lock: of all pods one purges a shard at a time."""

LAG = """
SELECT CASE
    WHEN NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') THEN 'infinity'::float8
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
    ELSE coalesce(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8, 'infinity')
END AS seconds, pg_last_wal_replay_lsn() AS replayed"""
"""A replica's lag in seconds. One that is not streaming is infinitely late, however current it looks; seeing
pg_stat_wal_receiver takes the role pg_monitor."""

PURGE = """
WITH expired AS (
    SELECT k.slot, k.user_id, k.key FROM idempotency_keys k JOIN slots s USING (slot)
    WHERE k.expires_at < now() AND s.state = 'owned' LIMIT $1 FOR SHARE OF s
)
DELETE FROM idempotency_keys k USING expired e WHERE (k.slot, k.user_id, k.key) = (e.slot, e.user_id, e.key)"""
"""Owned slots alone, under the share lock that a fence waits for: during a move the other side's copy changes by
replication only, and what is deleted here is sent before the slots are handed over."""


class Upkeep:
    """The background tasks of one `Shards`."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; each at its own pace, with jitter, so that the pods spread out."""
        rounds: list[tuple[float, Callable[[], Awaitable[object]]]] = [
            (MAP_SECONDS, lambda: self._shards.refresh("periodic")),
            (PRIMARY_SECONDS, self._shards.seek_primaries),
            (LAG_SECONDS, self.measure_lag),
            (PURGE_SECONDS, self.purge),
        ]
        self._tasks = [asyncio.create_task(self._repeat(every, work)) for every, work in rounds]

    async def stop(self) -> None:
        """End the tasks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, every: float, work: Callable[[], Awaitable[object]]) -> None:
        while True:
            await asyncio.sleep(every * random.uniform(0.8, 1.2))
            try:
                await work()
            except Exception:
                log.exception("database upkeep failed; it is tried again in %g s", every)

    async def measure_lag(self) -> None:
        """Measure each replica of this region: `lag_seconds` and, on the way, `replayed`."""
        region = self._shards.deployment.region
        pools = [pool for shard in self._shards.pools.values() for pool in shard.standing_by(region)]
        await asyncio.gather(*(self._measure(pool) for pool in pools))

    async def _measure(self, pool: InstancePool) -> None:
        pool.lag_seconds = float("inf")
        try:
            connection = await pool.acquire(LAG_SECONDS / 2)
        except DatabaseUnavailable:
            return
        try:
            row = await connection.fetchrow(LAG)
            pool.lag_seconds = row["seconds"]
            pool.replayed = max(pool.replayed, row["replayed"] or 0)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            log.warning("the lag of %s is unknown: %s", pool, error)
        finally:
            pool.release(connection)

    async def purge(self) -> int:
        """Delete expired idempotency keys of every shard, in batches; how many."""
        total = 0
        for shard in list(self._shards.pools.values()):
            pool = shard.primary_pool
            try:
                connection = await pool.acquire(1)
            except DatabaseUnavailable:
                continue
            try:
                while True:
                    async with connection.transaction():
                        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", PURGE_LOCK):
                            break
                        deleted = int((await connection.execute(PURGE, PURGE_BATCH)).split()[-1])
                    total += deleted
                    if deleted < PURGE_BATCH:
                        break
            finally:
                pool.release(connection)
        return total
