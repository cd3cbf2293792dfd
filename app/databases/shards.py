"""Every shard's pools, and the map to them, kept as Postgres says it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import asyncpg

from app.databases import primaries
from app.databases.ownership import IS_OWNER
from app.databases.pools import DatabaseError, DatabaseUnavailable, InstancePool, OptimizedConnectionPool
from app.databases.sharding import Ownership, ShardMap
from app.deployment import Deployment
from app.metrics import LagSample, Metrics, PoolSample

log = logging.getLogger(__name__)

OWNED = f"SELECT slot, epoch FROM slots WHERE {IS_OWNER}"


class WrongEpoch(DatabaseError):
    """The shard is not the slot's owner, or since another epoch, and a fresh map did not help."""


class Shards:
    """The pools by shard id (`pools`) and the map to them (`map`), refreshed when asked and now and then."""

    def __init__(self, deployment: Deployment, metrics: Metrics) -> None:
        self.deployment = deployment
        self.map = ShardMap(deployment.sharding)
        self.pools: dict[int, OptimizedConnectionPool] = {}
        self.metrics = metrics
        self._refreshing: asyncio.Task[None] | None = None
        self._seeking: dict[int, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Make the pools, and ask Postgres for primaries and the map as far as it answers."""
        for shard in self.deployment.sharding.shards:
            self.pools[shard.id] = OptimizedConnectionPool(self.deployment, shard)
        await self.seek_primaries()
        await self.refresh("start")

    async def close(self) -> None:
        """Close every pool; lent connections get a few seconds."""
        for task in (self._refreshing, *self._seeking.values()):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(pool.close() for pool in self.pools.values()))

    async def seek_primaries(self) -> None:
        """Ask every instance of every shard whether it is the primary now."""
        await asyncio.gather(*(self.seek_primary(number) for number in list(self.pools)))

    async def seek_primary(self, shard_id: int, timeout: float | None = None) -> bool:
        """Ask a shard's instances which of them is the primary now, for up to `timeout` seconds; callers at the same
        time share one round. Whether it is another one than before."""
        before = self.pools[shard_id].primary_pool
        task = self._seeking.get(shard_id)
        if task is None or task.done():
            task = self._seeking[shard_id] = asyncio.create_task(self._seek_primary(self.pools[shard_id]))
        await asyncio.wait((task,), timeout=timeout)
        return shard_id in self.pools and self.pools[shard_id].primary_pool is not before

    async def _seek_primary(self, pools: OptimizedConnectionPool) -> None:
        answers = await asyncio.gather(*(primaries.standing(pool) for pool in pools.instances))
        said = {pool: answer for pool, answer in zip(pools.instances, answers, strict=True) if answer is not None}
        found = primaries.arrange(pools, said)
        if [found.primary, *found.replicas] != list(pools):
            before, old = pools.primary_pool, str(pools.primary_pool)
            pools.arrange(found.primary, found.replicas)
            if found.primary is not before:
                self.metrics.db_promotions.labels(str(pools.shard.id)).inc()
                log.warning("%s follows %s", pools.primary_pool, old)
        for twin in found.twins:
            log.error("%s takes writes as %s does, on one timeline: an operator must say which", twin, found.primary)
        timeline = said[found.primary].timeline if found.primary in said else pools.timeline
        try:
            if timeline != pools.timeline:
                opened = await primaries.order(found.primary, "SELECT open_primary()")
                pools.timeline = timeline
                if opened:
                    log.warning("%s was promoted and is open now", found.primary)
                await self.refresh("promotion")
            for pool in found.superseded:
                if await primaries.order(pool, "SELECT close_primary()"):
                    log.warning("the former primary in %s of shard %d was closed", pool.region, pool.shard_id)
        except DatabaseUnavailable as error:
            log.warning("shard %d: %s; it is tried again", pools.shard.id, error)

    async def refresh(self, reason: str) -> None:
        """Ask every shard what it owns and take the newer map; callers at the same time share one round."""
        if self._refreshing is None or self._refreshing.done():
            self.metrics.db_map_refreshes.labels(reason).inc()
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        before = self.map
        answers = await asyncio.gather(*(self._owned(pools) for pools in self.pools.values()))
        primaries_said = {
            pools.shard.id
            for pools, (teller, _) in zip(self.pools.values(), answers, strict=True)
            if teller is pools.primary_pool
        }
        rows = [row for _, rows in answers for row in rows]
        self.map = before.with_owners(rows, primaries_said)

    async def _owned(self, pools: OptimizedConnectionPool) -> tuple[InstancePool | None, list[Ownership]]:
        """What a shard owns, and who said so: its primary, or a
        replica when that is away. An old answer does no harm.
        """
        for pool in pools:
            try:
                connection = await pool.acquire(primaries.PROBE_SECONDS)
            except DatabaseUnavailable:
                continue
            try:
                rows = await connection.fetch(OWNED)
                return pool, [Ownership(row["slot"], pools.shard.id, row["epoch"]) for row in rows]
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("%s did not say what it owns: %s", pool, error)
            finally:
                pool.release(connection)
        return None, []

    def pool_samples(self) -> Iterator[PoolSample]:
        """Every pool's use, for the metrics."""
        for pools in self.pools.values():
            for pool in pools:
                yield pool.sample()

    def lag_samples(self) -> Iterator[LagSample]:
        """The lag of the replicas in this process's region, as the upkeep measured it last; infinity for one that a
        promotion left behind."""
        for pools in self.pools.values():
            for pool in pools.standing_by(self.deployment.region):
                yield LagSample(pool.shard_id, pool.region, pool.lag_seconds)
