"""Writes: fenced, on the primary of the slot's owner, and applied once however often they are tried."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from app.databases import recovery
from app.databases.floor import UNKNOWN, Floor
from app.databases.pools import DatabaseError, DatabaseUnavailable, InstancePool, PoolExhausted, connection_lost
from app.databases.sharding import slot_of
from app.databases.shards import Shards, WrongEpoch
from app.databases.transaction import Transaction
from app.deadlines import remaining

log = logging.getLogger(__name__)

WRONG_EPOCH, FENCED, KEY_REUSED, NOT_OPEN = "U9001", "U9002", "U9005", "U9006"
"""SQLSTATEs of migrations/0002_writes.sql and 0003_promotion.sql."""

FENCE_WAITS = (0.005, 0.05)
"""Seconds between a waiting writer's attempts at a fenced slot: the first wait, doubled up to the second."""

SUSPICIOUS_SECONDS = 1.0
"""A writer that has waited this long at a fence looks whether its mover is dead."""

RETRY_WAITS = (0.02, 0.5)
"""The same between attempts at a commit whose outcome is unknown."""

T = TypeVar("T")


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


class Writes:
    """Writes to the users' shards. `timeout` in seconds bounds a call; else the document's does."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._timeout = shards.deployment.server.request_timeout_seconds

    @contextlib.asynccontextmanager
    async def write(self, user_id: UUID, timeout: float | None = None) -> AsyncIterator[Transaction]:
        """`async with databases.write(user_id) as transaction`: commits at the end, rolls back on an exception.

        Raises: WrongEpoch, SlotFenced, DatabaseUnavailable before the block; CommitUnknown at its end. The last
        is safe to retry only with an idempotency key: use `transact`.
        """
        give_up = time.monotonic() + remaining(timeout or self._timeout)
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
            await self._abandon(pool, connection, lost, error)
            if committing and (lost or isinstance(error, TimeoutError)):
                self._shards.metrics.db_commits_unknown.labels(str(pool.shard_id)).inc()
                raise CommitUnknown(f"{pool} did not confirm the commit") from error
            if lost or isinstance(error, TimeoutError):
                raise DatabaseUnavailable(f"{pool} was lost in a transaction, or its time was up") from error
            raise
        pool.release(connection)

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
        give_up = time.monotonic() + remaining(timeout or self._timeout)
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
        give_up = time.monotonic() + remaining(timeout or self._timeout)
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
                if isinstance(error, SlotFenced | PoolExhausted) or time.monotonic() + wait >= give_up:
                    if unknown and not isinstance(error, CommitUnknown):
                        raise CommitUnknown(f"an earlier attempt may have committed; the last: {error}") from error
                    raise
                await asyncio.sleep(wait * random.uniform(0.5, 1))
                wait = min(wait * 2, longest)
                continue
            pool.release(connection)
            return call

    async def _fenced(
        self, slot: int, give_up: float, attempt: Callable[[Any, int, int], Awaitable[T]], commits: bool
    ) -> tuple[InstancePool, Any, T]:
        """Run `attempt(connection, shard, epoch)` on the slot's primary, past its fence.

        A wrong epoch is met with a fresh map and one more try, a fenced slot by waiting, a primary that is away by
        looking for one that was promoted. `commits`: whether the
        attempt commits by itself, so that losing it leaves the outcome unknown; else it is tried again on a new
        connection. On success the caller releases the connection.
        """
        refreshed = False
        wait, longest = FENCE_WAITS
        suspicious = time.monotonic() + SUSPICIOUS_SECONDS
        while True:
            shard_id, epoch = self._shards.map.owner(slot), self._shards.map.epoch_of(slot)
            pool, connection = await self._primary(shard_id, give_up)
            try:
                return pool, connection, await attempt(connection, shard_id, epoch)
            except BaseException as error:
                lost = connection_lost(error, connection)
                await self._abandon(pool, connection, lost, error)
                if lost or isinstance(error, TimeoutError | asyncpg.QueryCanceledError):
                    if commits:
                        self._shards.metrics.db_commits_unknown.labels(str(shard_id)).inc()
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
                elif state == NOT_OPEN:
                    await self._shards.seek_primary(shard_id, give_up - time.monotonic())
                    continue
                else:
                    raise
            if refreshed:
                await self._shards.refresh("epoch")
            elif time.monotonic() + wait >= give_up:
                raise SlotFenced(f"slot {slot} of shard {shard_id} is fenced for a move")
            else:
                await asyncio.sleep(wait * random.uniform(0.5, 1))
                wait = min(wait * 2, longest)
                if time.monotonic() >= suspicious:
                    suspicious = time.monotonic() + SUSPICIOUS_SECONDS
                    await self._take_back(slot, shard_id)

    async def _primary(self, shard_id: int, give_up: float) -> tuple[InstancePool, Any]:
        """A connection to the shard's primary, and its pool; where it is away, to the instance promoted since.

        Raises: DatabaseUnavailable (PoolExhausted).
        """
        while (left := give_up - time.monotonic()) > 0:
            pool = self._shards.pools[shard_id].primary_pool
            try:
                return pool, await pool.acquire(left)
            except PoolExhausted:
                raise
            except DatabaseUnavailable:
                if not await self._shards.seek_primary(shard_id, max(0.0, give_up - time.monotonic())):
                    raise
        raise DatabaseUnavailable(f"no time was left for {self._shards.pools[shard_id].primary_pool}")

    async def _take_back(self, slot: int, shard_id: int) -> None:
        """Settle the slot's fence when its mover has died; a fence within its lease stays."""
        owner_pool = self._shards.pools[shard_id].primary_pool
        owner = await owner_pool.acquire(SUSPICIOUS_SECONDS)
        try:
            fence = await recovery.stale_fence(owner, slot)
            if fence is None or fence["peer"] not in self._shards.pools:
                return
            peer_pool = self._shards.pools[fence["peer"]].primary_pool
            peer = await peer_pool.acquire(SUSPICIOUS_SECONDS)
            try:
                await recovery.take_back(owner, peer, fence["move"])
            finally:
                peer_pool.release(peer)
        finally:
            owner_pool.release(owner)

    @staticmethod
    async def _abandon(pool: InstancePool, connection: Any, lost: bool, error: BaseException) -> None:
        """Roll back what a failed attempt left open, and give the connection back."""
        try:
            if not lost and not connection.is_closed() and connection.is_in_transaction():
                await connection.execute("ROLLBACK")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
            log.info("%s: the rollback failed, the connection is dropped: %s", pool, problem)
            connection.terminate()
        if lost or connection.is_closed():
            pool.lost(connection)
        else:
            pool.release(connection, answered=not isinstance(error, TimeoutError | asyncio.CancelledError))
