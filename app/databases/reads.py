"""Reads: on the nearest instance of the user's shard that has reached the user's floor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from app.databases.connect import Connection
from app.databases.floor import Floor
from app.databases.ownership import OWNER_STATES
from app.databases.pools import DatabaseUnavailable, FloorNotReached, InstancePool, PoolExhausted, connection_lost
from app.databases.sharding import slot_of
from app.databases.shards import Shards, WrongEpoch
from app.deadlines import remaining
from app.deployment import ReadPreference

SEEK_WAITS = (0.05, 0.5)
"""Seconds between looks for a primary while no replica has reached the floor: the first, doubled up to the second."""

HINT_SECONDS = 1.0
"""Floors that speak of epochs nobody here knows have the map asked
for this often at most; their reads go to the primary.
"""


class Reads:
    """Reads of the users' shards. `timeout` in seconds bounds a call; else the document's does."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._preference = shards.deployment.sharding.read_preference
        self._timeout = shards.deployment.server.request_timeout_seconds
        self._hint_taken = float("-inf")

    async def fetch_owned(
        self, user_id: UUID, query: str, *arguments: object, floor: Floor | None = None, timeout: float | None = None
    ) -> list[asyncpg.Record]:
        """A query on the user's shard, never older than `floor`, from an instance that knows itself the owner of the
        user's slot; moves on to the next instance when one fails.

        The query gets the slot as $1 before `arguments`, and its rows begin with `slots.state` of that slot, as
        the outer side of a join, so that there is a row whatever else there is. A process with an old map, or
        a replica that has not heard of a move, would else answer with what was before the move.
        Raises: DatabaseUnavailable (PoolExhausted), WrongEpoch, and what Postgres says of the query itself.
        """
        give_up = time.monotonic() + remaining(timeout or self._timeout)
        slot = slot_of(user_id)
        rows = await self._fetch(slot, self._preference, floor, give_up, query, (slot, *arguments))
        if rows and rows[0][0] in OWNER_STATES:
            return rows
        self._shards.metrics.db_fallbacks.labels(str(self._shards.map.owner(slot)), "any", "moved").inc()
        await self._shards.refresh("read")
        rows = await self._fetch(slot, ReadPreference.PRIMARY, floor, give_up, query, (slot, *arguments))
        if rows and rows[0][0] in OWNER_STATES:
            return rows
        raise WrongEpoch(f"shard {self._shards.map.owner(slot)} does not own slot {slot}")

    async def _fetch(
        self,
        slot: int,
        preference: ReadPreference,
        floor: Floor | None,
        give_up: float,
        query: str,
        arguments: Sequence[object],
    ) -> list[asyncpg.Record]:
        """Ask the slot's instances, best first, until one answers:

        it answered                             its rows
        connection lost                         once more with a new one (its server may have restarted), then the next
        not in time, or all connections in use  DatabaseUnavailable, PoolExhausted
        none reachable                          the rest again once a primary was found, else DatabaseUnavailable
        none has reached the floor              wait for a promotion and look again, until the time is up
        any other error                         raised: the query is wrong
        """
        candidates = await self._candidates(slot, preference, floor)
        lost: set[InstancePool] = set()
        wait, longest = SEEK_WAITS
        while True:
            try:
                pool, connection = await self._take(candidates, floor, give_up)
            except PoolExhausted:
                raise
            except DatabaseUnavailable as error:
                left = give_up - time.monotonic()
                found = left > 0 and await self._shards.seek_primary(self._shards.map.owner(slot), left)
                if not found and (not isinstance(error, FloorNotReached) or time.monotonic() + wait >= give_up):
                    raise
                if not found:
                    await asyncio.sleep(wait)
                    wait = min(wait * 2, longest)
                candidates = await self._candidates(slot, preference, floor)
                continue
            try:
                # asyncpg's own time-out: it ends the query on the server, and costs nothing beside its command_timeout.
                left = max(0.001, give_up - time.monotonic())
                rows: list[asyncpg.Record] = await connection.fetch(query, *arguments, timeout=left)
            except BaseException as error:
                if connection_lost(error, connection):
                    pool.lost(connection)
                    self._fell_back(pool, "unreachable")
                    if pool in lost:
                        pool.failed()
                    else:
                        # Kept connections go stale when their server restarts: ask it once more with a new one.
                        lost.add(pool)
                        candidates.insert(0, pool)
                    continue
                pool.release(connection, answered=not isinstance(error, TimeoutError | asyncio.CancelledError))
                if isinstance(error, TimeoutError):
                    raise DatabaseUnavailable(f"{pool} did not answer in time") from error
                raise
            pool.release(connection)
            return rows

    async def _candidates(self, slot: int, preference: ReadPreference, floor: Floor | None) -> list[InstancePool]:
        """Where a read of `slot` at `floor` may go, best first."""
        if floor is not None and not self._speaks_of(floor, slot):
            if floor.epoch > self._shards.map.epoch_of(slot) and time.monotonic() >= self._hint_taken + HINT_SECONDS:
                # The floor may know of a move that this process has not heard of. That is a hint: Postgres is asked.
                self._hint_taken = time.monotonic()
                await self._shards.refresh("floor")
            if not self._speaks_of(floor, slot):
                preference = ReadPreference.PRIMARY  # another shard's or epoch's position says nothing here
        return self._shards.pools[self._shards.map.owner(slot)].candidates(preference)

    def _speaks_of(self, floor: Floor, slot: int) -> bool:
        """Whether `floor` is of the shard and the epoch that this process knows as the slot's."""
        return floor[:2] == (self._shards.map.owner(slot), self._shards.map.epoch_of(slot))

    async def _take(
        self, candidates: list[InstancePool], floor: Floor | None, give_up: float
    ) -> tuple[InstancePool, Connection]:
        """The first of `candidates` that is reachable and has reached `floor`, taken out, and a connection to it.

        Raises: DatabaseUnavailable when none is left or the time is up; FloorNotReached when some answered.
        """
        problem: DatabaseUnavailable | None = None
        behind = False
        while candidates and (left := give_up - time.monotonic()) > 0:
            pool = candidates.pop(0)
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
                pool.lost(connection)
                if not isinstance(error, TimeoutError) and not connection_lost(error, connection):
                    raise
                pool.failed()
                self._fell_back(pool, "unreachable")
            else:
                pool.release(connection)
                self._fell_back(pool, "behind")
                behind = True
        if behind and not isinstance(problem, PoolExhausted):
            raise FloorNotReached(f"no replica has reached what was read or written before; {problem}")
        raise problem or DatabaseUnavailable("no instance of the shard answered in time")

    def _fell_back(self, pool: InstancePool, reason: str) -> None:
        self._shards.metrics.db_fallbacks.labels(str(pool.shard_id), pool.region, reason).inc()
