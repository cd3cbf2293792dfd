"""All shards of the deployment: a user's reads and writes find their instance here, and stay right while it changes.

Reads go by preference and nearness to an instance that has reached the user's floor. Writes go to the primary
of the slot's owner, which checks owner and epoch itself (migrations/0002_writes.sql, `fence`): a process with an
old map is refused, asks Postgres for the new one and tries once more, so any number of processes in any number
of regions are safe without talking to each other. While a slot is fenced for a move, writers wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from app.deployment import Deployment, ReadPreference
from app.floor import UNKNOWN, Floor
from app.metrics import LagSample, Metrics, PoolSample
from app.pools import DatabaseError, DatabaseUnavailable, InstancePool, OptimizedConnectionPool, connection_lost
from app.sharding import Ownership, ShardMap, slot_of
from app.upkeep import Upkeep

log = logging.getLogger(__name__)

WRONG_EPOCH, FENCED, KEY_REUSED = "U9001", "U9002", "U9005"
"""SQLSTATEs of migrations/0002_writes.sql."""

FENCE_WAITS = (0.005, 0.05)
"""Seconds between a waiting writer's attempts at a fenced slot: the first wait, doubled up to the second."""

RETRY_WAITS = (0.02, 0.5)
"""The same between attempts at a commit whose outcome is unknown."""

REFRESH_SECONDS = 1.0
"""How long a refresh of the map waits for one instance: a shard that is away must not hold up the others."""

READABLE = ("owned", "fenced")
"""States of a slot in which this shard's rows are the truth: a fenced slot takes no writes yet still has them."""

T = TypeVar("T")


class WrongEpoch(DatabaseError):
    """The shard refused the write: the slot is not its own, or since another epoch. A fresh map did not help."""


class SlotFenced(DatabaseUnavailable):
    """The slot stayed fenced for a move until the time was up. Nothing was done; try again."""


class CommitUnknown(DatabaseUnavailable):
    """The time was up before Postgres said whether it committed. Try again under the same idempotency key."""


class KeyReused(DatabaseError):
    """The idempotency key was used before, for another request."""


class Call(NamedTuple):
    """What a called procedure returned: its `row`, and the `floor` its commit gives."""

    row: asyncpg.Record
    floor: Floor


class Transaction:
    """A write transaction on a user's shard, past the fence. Made by `Databases.write`.

    `floor` is set once it is committed: keep it in the session. `connection` is asyncpg's; the methods below
    are its own. Its `transaction()` cannot be used in here (this is one); SAVEPOINT can.
    """

    __slots__ = ("connection", "epoch", "floor", "shard_id", "slot")

    def __init__(self, connection: Any, slot: int, shard_id: int, epoch: int) -> None:
        self.connection = connection
        self.slot = slot
        self.shard_id = shard_id
        self.epoch = epoch
        self.floor: Floor | None = None

    async def execute(self, query: str, *arguments: Any) -> str:
        """Run a statement; its command tag."""
        tag: str = await self.connection.execute(query, *arguments)
        return tag

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a query; its rows."""
        rows: list[asyncpg.Record] = await self.connection.fetch(query, *arguments)
        return rows

    async def fetchrow(self, query: str, *arguments: Any) -> asyncpg.Record | None:
        """Run a query; its first row."""
        return await self.connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """Run a query; the first value of its first row."""
        return await self.connection.fetchval(query, *arguments)


class Databases:
    """The pools of every shard and the map to them. One a process; an async context manager.

    Times are in seconds. `timeout` bounds a whole call, waiting for a connection included; without it the
    document's `server.requestTimeoutSeconds` does.
    """

    def __init__(self, deployment: Deployment, metrics: Metrics) -> None:
        self.deployment = deployment
        self.map = ShardMap(deployment.sharding)
        self.pools: dict[int, OptimizedConnectionPool] = {}
        self._metrics = metrics
        self._preference = deployment.sharding.read_preference
        self._timeout = deployment.server.request_timeout_seconds
        self._refreshing: asyncio.Task[None] | None = None
        self._upkeep = Upkeep(self)
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Databases:
        """Make the pools, ask Postgres for the map as far as it answers, and start the upkeep."""
        for shard in self.deployment.sharding.shards:
            pool = self.pools[shard.id] = OptimizedConnectionPool(self.deployment, shard)
            await pool.open()
        await self.refresh("start")
        self._upkeep.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the upkeep and close every pool; lent connections get a few seconds."""
        await self._upkeep.stop()
        if self._refreshing is not None:
            self._refreshing.cancel()
        await asyncio.gather(*(pool.close() for pool in self.pools.values()), *self._closing)

    async def reload(self, deployment: Deployment) -> None:
        """Follow a new document: pools of shards that changed are made anew, the others stay as they are."""
        before, self.deployment = self.deployment, deployment
        self._preference = deployment.sharding.read_preference
        self._timeout = deployment.server.request_timeout_seconds
        same = (before.pools, before.sharding.database, before.secrets_directory, before.ca_file) == (
            deployment.pools, deployment.sharding.database, deployment.secrets_directory, deployment.ca_file
        )  # fmt: skip
        kept = {id_: pool for id_, pool in self.pools.items() if same}
        pools: dict[int, OptimizedConnectionPool] = {}
        for shard in deployment.sharding.shards:
            old = kept.get(shard.id)
            if old is not None and (old.shard.primary, old.shard.replicas) == (shard.primary, shard.replicas):
                pools[shard.id] = old
            else:
                pools[shard.id] = OptimizedConnectionPool(deployment, shard)
                await pools[shard.id].open()
        gone = [pool for pool in self.pools.values() if pool not in pools.values()]
        self.map = self.map.with_config(deployment.sharding)
        self.pools = pools
        for pool in gone:
            task = asyncio.create_task(pool.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        await self.refresh("document")

    # Reads

    async def fetch(
        self, user_id: UUID, query: str, *arguments: Any, floor: Floor | None = None, timeout: float | None = None
    ) -> list[asyncpg.Record]:
        """A query on the user's shard, never older than `floor`; moves on to the next instance when one fails.

        Raises: DatabaseUnavailable (PoolExhausted), and what Postgres says of the query itself.
        """
        return await self._read(slot_of(user_id), None, floor, timeout, lambda c: c.fetch(query, *arguments))

    async def fetchrow(
        self, user_id: UUID, query: str, *arguments: Any, floor: Floor | None = None, timeout: float | None = None
    ) -> asyncpg.Record | None:
        """As `fetch`; the first row."""
        return await self._read(slot_of(user_id), None, floor, timeout, lambda c: c.fetchrow(query, *arguments))

    async def fetch_owned(
        self, user_id: UUID, query: str, *arguments: Any, floor: Floor | None = None, timeout: float | None = None
    ) -> list[asyncpg.Record]:
        """As `fetch`, from an instance that knows itself the owner of the user's slot.

        The query gets the slot as $1 before `arguments`, and its rows begin with `slots.state` of that slot, as
        the outer side of a join, so that there is a row whatever else there is. A process with an old map, or
        a replica that has not heard of a move, would else answer with what was before the move.
        Raises: as `fetch`, and WrongEpoch.
        """
        slot = slot_of(user_id)

        async def run(connection: Any) -> list[asyncpg.Record]:
            found: list[asyncpg.Record] = await connection.fetch(query, slot, *arguments)
            return found

        rows = await self._read(slot, None, floor, timeout, run)
        if rows and rows[0][0] in READABLE:
            return rows
        self._metrics.db_fallbacks.labels(str(self.map.owner(slot)), "any", "moved").inc()
        await self.refresh("read")
        rows = await self._read(slot, ReadPreference.PRIMARY, floor, timeout, run)
        if rows and rows[0][0] in READABLE:
            return rows
        raise WrongEpoch(f"shard {self.map.owner(slot)} does not own slot {slot}")

    @contextlib.asynccontextmanager
    async def read(
        self, user_id: UUID, floor: Floor | None = None, timeout: float | None = None
    ) -> AsyncIterator[asyncpg.Connection]:
        """`async with databases.read(user_id, floor) as connection`: several queries on one instance.

        The instance is chosen as by `fetch`, but a failure within the block is the caller's to retry.
        """
        give_up = time.monotonic() + (timeout or self._timeout)
        slot = slot_of(user_id)
        pool, connection = await self._take(await self._candidates(slot, None, floor), floor, give_up)
        try:
            async with asyncio.timeout(give_up - time.monotonic()):
                yield connection
        finally:
            await pool.release(connection)

    async def _read(
        self,
        slot: int,
        preference: ReadPreference | None,
        floor: Floor | None,
        timeout: float | None,
        query: Callable[[Any], Awaitable[T]],
    ) -> T:
        give_up = time.monotonic() + (timeout or self._timeout)
        candidates = await self._candidates(slot, preference, floor)
        lost: set[InstancePool] = set()
        while True:
            pool, connection = await self._take(candidates, floor, give_up)
            try:
                async with asyncio.timeout(give_up - time.monotonic()):
                    result = await query(connection)
            except BaseException as error:
                if connection_lost(error, connection):
                    await pool.lost(connection)
                    self._fell_back(pool, "unreachable")
                    if pool in lost:
                        pool.failed()
                    else:
                        # Kept connections go stale when their server restarts: ask it once more with a new one.
                        lost.add(pool)
                        candidates.insert(0, pool)
                    continue
                await pool.release(connection)
                if isinstance(error, TimeoutError):
                    raise DatabaseUnavailable(f"{pool} did not answer in time") from error
                raise
            await pool.release(connection)
            return result

    async def _candidates(
        self, slot: int, preference: ReadPreference | None, floor: Floor | None
    ) -> list[InstancePool]:
        """Where a read of `slot` at `floor` may go, best first."""
        if floor is not None and floor.epoch != self.map.epoch_of(slot):
            if floor.epoch > self.map.epoch_of(slot):
                # The floor knows of a move that this process has not heard of.
                self.map = self.map.with_owners([Ownership(slot, floor.shard, floor.epoch)])
                await self.refresh("floor")
            if (floor.shard, floor.epoch) != (self.map.owner(slot), self.map.epoch_of(slot)):
                preference = ReadPreference.PRIMARY  # another shard's or epoch's position says nothing here
        return self.pools[self.map.owner(slot)].candidates(preference or self._preference)

    async def _take(
        self, candidates: list[InstancePool], floor: Floor | None, give_up: float
    ) -> tuple[InstancePool, Any]:
        """The first of `candidates` that is reachable and has reached `floor`, taken out, and a connection to it.

        Raises: DatabaseUnavailable when none is left.
        """
        problem: DatabaseUnavailable | None = None
        while candidates:
            pool = candidates.pop(0)
            left = give_up - time.monotonic()
            try:
                # Half of what is left at most, so that one that hangs leaves time for the next.
                connection = await pool.acquire(left / 2 if candidates else left)
            except DatabaseUnavailable as error:
                problem = error
                self._fell_back(pool, "unreachable")
                continue
            if floor is None or pool.role == "primary" or pool.replayed >= floor.lsn:
                return pool, connection
            try:
                if await pool.has_replayed(connection, floor.lsn):
                    return pool, connection
            except BaseException as error:
                await pool.lost(connection)
                if not isinstance(error, TimeoutError) and not connection_lost(error, connection):
                    raise
                pool.failed()
                self._fell_back(pool, "unreachable")
            else:
                await pool.release(connection)
                self._fell_back(pool, "behind")
        raise problem or DatabaseUnavailable("no instance of the shard answered in time")

    def _fell_back(self, pool: InstancePool, reason: str) -> None:
        self._metrics.db_fallbacks.labels(str(pool.shard_id), pool.region, reason).inc()

    # Writes

    @contextlib.asynccontextmanager
    async def write(self, user_id: UUID, timeout: float | None = None) -> AsyncIterator[Transaction]:
        """`async with databases.write(user_id) as transaction`: commits at the end, rolls back on an exception.

        Raises: WrongEpoch, SlotFenced, DatabaseUnavailable before the block; CommitUnknown at its end. The last
        is safe to retry only with an idempotency key: use `transact`.
        """
        give_up = time.monotonic() + (timeout or self._timeout)
        slot = slot_of(user_id)

        async def begin(connection: Any, shard_id: int, epoch: int) -> Transaction:
            await connection.execute(f"BEGIN; SELECT fence({slot}::smallint, {epoch})")
            return Transaction(connection, slot, shard_id, epoch)

        pool, connection, transaction = await self._fenced(slot, give_up, begin, False)
        committing = False
        try:
            async with asyncio.timeout(give_up - time.monotonic()):
                yield transaction
                committing = True
                await connection.execute("COMMIT")
                transaction.floor = await self._floor_after(transaction)
        except BaseException as error:
            lost = connection_lost(error, connection)
            await self._abandon(pool, connection, lost)
            if committing and (lost or isinstance(error, TimeoutError)):
                self._metrics.db_commits_unknown.labels(str(pool.shard_id)).inc()
                raise CommitUnknown(f"{pool} did not confirm the commit") from error
            if lost or isinstance(error, TimeoutError):
                raise DatabaseUnavailable(f"{pool} was lost in a transaction") from error
            raise
        await pool.release(connection)

    @staticmethod
    async def _floor_after(transaction: Transaction) -> Floor:
        """The floor after a commit, whose success must not depend on learning it."""
        try:
            lsn = await transaction.fetchval("SELECT pg_current_wal_lsn()")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.info("the position of a commit on shard %d is unknown: %s", transaction.shard_id, error)
            lsn = UNKNOWN
        return Floor(transaction.shard_id, transaction.epoch, lsn)

    async def transact(
        self,
        user_id: UUID,
        key: str,
        request: bytes,
        body: Callable[[Transaction], Awaitable[bytes]],
        timeout: float | None = None,
    ) -> tuple[bytes, Floor]:
        """Run `body` in a write transaction, applied once however often it is tried; its result and the floor.

        `key` is the idempotency key and `request` identifies what it was used for (a digest). Key and result are
        recorded in the same transaction, so a commit whose answer was lost is found by the next attempt, which
        then returns the recorded result. Raises: as `write`, and KeyReused.
        """
        give_up = time.monotonic() + (timeout or self._timeout)
        wait, longest = RETRY_WAITS
        while True:
            try:
                async with self.write(user_id, give_up - time.monotonic()) as transaction:
                    try:
                        result = await transaction.fetchval(
                            "SELECT claim($1, $2, $3, $4)", transaction.slot, user_id, key, request
                        )
                    except asyncpg.PostgresError as error:
                        raise (KeyReused(str(error)) if error.sqlstate == KEY_REUSED else error) from None
                    if result is None:
                        result = await body(transaction)
                        await transaction.execute(
                            "CALL record_result($1, $2, $3, $4)", transaction.slot, user_id, key, result
                        )
            except DatabaseUnavailable as error:
                if isinstance(error, SlotFenced) or time.monotonic() + wait >= give_up:
                    raise
                await asyncio.sleep(wait * random.uniform(0.5, 1))
                wait = min(wait * 2, longest)
                continue
            assert transaction.floor is not None
            return result, transaction.floor

    async def call(self, user_id: UUID, query: str, *arguments: Any, timeout: float | None = None) -> Call:
        """Call a procedure that fences, claims an idempotency key, writes and commits by itself, in one round trip.

        It gets the slot as $1 and the epoch as $2 before `arguments`, and returns `lsn`. As it is idempotent, an
        unknown outcome is simply tried again until the time is up.
        Raises: as `transact`, and what else the procedure raises.
        """
        give_up = time.monotonic() + (timeout or self._timeout)
        slot = slot_of(user_id)

        async def run(connection: Any, shard_id: int, epoch: int) -> Call:
            async with asyncio.timeout(give_up - time.monotonic()):
                row = await connection.fetchrow(query, slot, epoch, *arguments)
            return Call(row, Floor(shard_id, epoch, row["lsn"]))

        wait, longest = RETRY_WAITS
        unknown = False
        while True:
            try:
                pool, connection, call = await self._fenced(slot, give_up, run, True)
            except DatabaseUnavailable as error:
                unknown = unknown or isinstance(error, CommitUnknown)
                if isinstance(error, SlotFenced) or time.monotonic() + wait >= give_up:
                    if unknown and not isinstance(error, CommitUnknown):
                        raise CommitUnknown(f"an earlier attempt may have committed; the last: {error}") from error
                    raise
                await asyncio.sleep(wait * random.uniform(0.5, 1))
                wait = min(wait * 2, longest)
                continue
            await pool.release(connection)
            return call

    async def _fenced(
        self, slot: int, give_up: float, attempt: Callable[[Any, int, int], Awaitable[T]], commits: bool
    ) -> tuple[InstancePool, Any, T]:
        """Run `attempt(connection, shard, epoch)` on the slot's primary, past its fence.

        A wrong epoch is met with a fresh map and one more try, a fenced slot by waiting. `commits`: whether the
        attempt commits by itself, so that losing it leaves the outcome unknown; else it is tried again on a new
        connection. On success the caller releases the connection.
        """
        refreshed = False
        wait, longest = FENCE_WAITS
        while True:
            left = give_up - time.monotonic()
            shard_id, epoch = self.map.owner(slot), self.map.epoch_of(slot)
            pool = self.pools[shard_id].primary_pool
            if left <= 0:
                raise DatabaseUnavailable(f"no time was left for {pool}")
            connection = await pool.acquire(left)
            try:
                return pool, connection, await attempt(connection, shard_id, epoch)
            except BaseException as error:
                lost = connection_lost(error, connection)
                await self._abandon(pool, connection, lost)
                if lost or isinstance(error, TimeoutError | asyncpg.QueryCanceledError):
                    if commits:
                        self._metrics.db_commits_unknown.labels(str(shard_id)).inc()
                        raise CommitUnknown(f"{pool} did not say whether it committed") from error
                    if lost:
                        continue
                    raise DatabaseUnavailable(f"{pool} did not answer in time") from error
                state = getattr(error, "sqlstate", None)
                if state == KEY_REUSED:
                    raise KeyReused(str(error)) from None
                if state == WRONG_EPOCH:
                    if refreshed:
                        raise WrongEpoch(f"shard {shard_id}: {error}") from None
                    refreshed = True
                elif state == FENCED:
                    refreshed = False
                else:
                    raise
            if refreshed:
                await self.refresh("epoch")
            elif time.monotonic() + wait >= give_up:
                raise SlotFenced(f"slot {slot} of shard {shard_id} is fenced for a move")
            else:
                await asyncio.sleep(wait * random.uniform(0.5, 1))
                wait = min(wait * 2, longest)

    @staticmethod
    async def _abandon(pool: InstancePool, connection: Any, lost: bool) -> None:
        """Roll back what a failed attempt left open, and give the connection back."""
        try:
            if not lost and not connection.is_closed() and connection.is_in_transaction():
                await connection.execute("ROLLBACK")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.info("%s: the rollback failed, the connection is dropped: %s", pool, error)
            connection.terminate()
        if lost or connection.is_closed():
            await pool.lost(connection)
        else:
            await pool.release(connection)

    # The map

    async def refresh(self, reason: str) -> None:
        """Ask every shard what it owns and take the newer map; callers at the same time share one round."""
        if self._refreshing is None or self._refreshing.done():
            self._metrics.db_map_refreshes.labels(reason).inc()
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        answers = await asyncio.gather(*(self._owned(pool) for pool in list(self.pools.values())))
        self.map = self.map.with_owners(row for rows in answers for row in rows)

    async def _owned(self, pools: OptimizedConnectionPool) -> list[Ownership]:
        """What a shard owns, by its primary, or by a replica when that is away. An old answer does no harm."""
        for pool in pools:
            try:
                connection = await pool.acquire(REFRESH_SECONDS)
            except DatabaseUnavailable:
                continue
            try:
                rows = await connection.fetch("SELECT slot, epoch FROM slots WHERE state = ANY ($1)", READABLE)
                return [Ownership(row["slot"], pools.shard.id, row["epoch"]) for row in rows]
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("%s did not say what it owns: %s", pool, error)
            finally:
                await pool.release(connection)
        return []

    # What others ask

    def pool_samples(self) -> Iterator[PoolSample]:
        """Every pool's use, for the metrics."""
        for pools in self.pools.values():
            for pool in pools:
                yield pool.sample()

    def lag_samples(self) -> Iterator[LagSample]:
        """The lag of the replicas in this process's region, as the upkeep measured it last."""
        for pools in self.pools.values():
            for pool in pools.read_pools.get(self.deployment.region, ()):
                yield LagSample(pool.shard_id, pool.region, pool.lag_seconds)
