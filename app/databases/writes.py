"""Writes: fenced, on the primary of the slot's owner, and applied once however often they are tried."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.databases import recovery
from app.databases.connect import Connection
from app.databases.floor import Floor
from app.databases.pools import DatabaseError, DatabaseUnavailable, InstancePool, PoolExhausted, connection_lost
from app.databases.sharding import slot_of
from app.databases.shards import Shards, WrongEpoch
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

    async def call(self, user_id: UUID, query: str, *arguments: object, timeout: float | None = None) -> Call:
        """Call a procedure that fences, claims an idempotency key, writes and commits by itself, in one round trip.

        It gets the slot as $1 and the epoch as $2 before `arguments`, and returns `lsn`. As it is idempotent, an
        unknown outcome is simply tried again until the time is up.
        Raises: WrongEpoch, SlotFenced and DatabaseUnavailable (PoolExhausted) where nothing was done; CommitUnknown
        where that cannot be said; KeyReused; and what else the procedure raises.
        """
        give_up = time.monotonic() + remaining(timeout or self._timeout)
        wait, longest = RETRY_WAITS
        unknown = False
        while True:
            try:
                return await self._past_the_fence(slot_of(user_id), query, arguments, give_up)
            except DatabaseUnavailable as error:
                unknown = unknown or isinstance(error, CommitUnknown)
                if isinstance(error, SlotFenced | PoolExhausted) or time.monotonic() + wait >= give_up:
                    if unknown and not isinstance(error, CommitUnknown):
                        raise CommitUnknown(f"an earlier attempt may have committed; the last: {error}") from error
                    raise
                await asyncio.sleep(wait * random.uniform(0.5, 1))
                wait = min(wait * 2, longest)

    async def _past_the_fence(self, slot: int, query: str, arguments: Sequence[object], give_up: float) -> Call:
        """Call the procedure on the slot's primary until it answers:

        it returned                         its answer
        slot fenced for a move              wait and call again, until the time is up: SlotFenced
        wrong epoch                         with a fresh map once more, then WrongEpoch
        a promoted instance not open yet    look for the primary, which opens it, and call again
        connection lost, or no answer       CommitUnknown
        any other error                     raised: the statement is wrong, or refused
        """
        refreshed = False
        wait, longest = FENCE_WAITS
        suspicious = time.monotonic() + SUSPICIOUS_SECONDS
        while True:
            shard_id, epoch = self._shards.map.owner(slot), self._shards.map.epoch_of(slot)
            try:
                return await self._once(shard_id, epoch, query, (slot, epoch, *arguments), give_up)
            except asyncpg.PostgresError as error:
                if error.sqlstate == KEY_REUSED:
                    raise KeyReused(str(error)) from None
                if error.sqlstate == NOT_OPEN:
                    await self._shards.seek_primary(shard_id, give_up - time.monotonic())
                    continue
                if error.sqlstate == WRONG_EPOCH:
                    if refreshed:
                        raise WrongEpoch(f"shard {shard_id}: {error}") from None
                    refreshed = True
                    await self._shards.refresh("epoch")
                    continue
                if error.sqlstate != FENCED:
                    raise
            refreshed = False
            if time.monotonic() + 2 * wait >= give_up:  # the next call needs time too: cut off, its outcome is unknown
                raise SlotFenced(f"slot {slot} of shard {shard_id} is fenced for a move")
            await asyncio.sleep(wait * random.uniform(0.5, 1))
            wait = min(wait * 2, longest)
            if time.monotonic() >= suspicious:
                suspicious = time.monotonic() + SUSPICIOUS_SECONDS
                await self._take_back(slot, shard_id)

    async def _once(self, shard_id: int, epoch: int, query: str, arguments: Sequence[object], give_up: float) -> Call:
        """Call the procedure once, on a connection to the shard's
        primary. Raises: CommitUnknown, and what it raises.
        """
        pool, connection = await self._primary(shard_id, give_up)
        try:
            async with asyncio.timeout(give_up - time.monotonic()):
                row = await connection.fetchrow(query, *arguments)
        except BaseException as error:
            lost = connection_lost(error, connection)
            if lost:
                pool.lost(connection)
            else:
                pool.release(connection, answered=not isinstance(error, TimeoutError | asyncio.CancelledError))
            if isinstance(error, Exception) and (lost or isinstance(error, TimeoutError | asyncpg.QueryCanceledError)):
                self._shards.metrics.db_commits_unknown.labels(str(shard_id)).inc()
                raise CommitUnknown(f"{pool} did not say whether it committed") from error
            raise
        pool.release(connection)
        return Call(row, Floor(shard_id, epoch, row["lsn"]))

    async def _primary(self, shard_id: int, give_up: float) -> tuple[InstancePool, Connection]:
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
