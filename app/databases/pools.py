"""Connection pools of one shard: its primary's, and its replicas' by region.

app/databases/connections.py keeps the connections. What is added here: instances that fail are passed over for a while,
connections have a maximum age, the account is read anew for each of them, and every wait has an end.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Literal

import asyncpg

from app.databases.connect import Connection, connect_endpoint
from app.databases.connections import ConnectionPool
from app.databases.credentials import CredentialsError
from app.deployment import DatabaseConnection, Deployment, PoolConfig, ReadPreference, ShardConfig
from app.metrics import PoolSample

FIRST_PENALTY_SECONDS = 0.25
MAX_PENALTY_SECONDS = {"primary": 1.0, "replica": 15.0}
"""An instance that failed is passed over for 0.25 s, doubled with each further failure up to this. A primary has
no stand-in, so it is asked again soon."""
STUCK_SECONDS = 0.5
"""An instance whose every connection is lent, and that answered nobody for this long, hangs: who comes now is told at
once and does not wait for it to the end of the request, in a place that requests for other shards could have.
"""
MAX_LIFETIME_JITTER = 0.1
"""Connections end up to this fraction before `max_lifetime_seconds`, so that a pool's do not end all at once."""


class DatabaseError(Exception):
    """Base of what the database layer raises."""


class DatabaseUnavailable(DatabaseError):
    """No instance that may serve this could be reached in time. Nothing was done."""


class FloorNotReached(DatabaseUnavailable):
    """Instances answer, yet none has reached the floor, and the primary is away. A promotion may end that."""


class PoolExhausted(DatabaseUnavailable):
    """Every connection of the pool stayed in use until the time was up: shed load."""


def connection_lost(error: BaseException, connection: Connection) -> bool:
    """Whether `error` means that the connection or its server went away, or became a standby, rather than that
    the statement is wrong. Such a connection is closed or must be."""
    closed: bool = connection.is_closed()
    return closed or isinstance(
        error,
        asyncpg.PostgresConnectionError
        | asyncpg.AdminShutdownError
        | asyncpg.CrashShutdownError
        | asyncpg.CannotConnectNowError
        | asyncpg.ReadOnlySQLTransactionError,
    )


class InstancePool:
    """The pool of one Postgres instance.

    `replayed` is the highest WAL position this replica is known to have replayed; it only grows, and starts
    anew with each new connection, as behind it may be a rebuilt server. `distance` is what a connection takes
    to make, in seconds, smoothed: how near the instance is.
    """

    def __init__(
        self,
        deployment: Deployment,
        shard: ShardConfig,
        instance: DatabaseConnection,
        role: Literal["primary", "replica"],
    ) -> None:
        self.shard_id = shard.id
        self.region = instance.region
        self.endpoint = instance.endpoint
        self.replayed = 0
        self.lag_seconds = float("inf")
        self.distance: float | None = None
        self._deployment = deployment
        self._settings = deployment.pools
        self.failures = 0
        self._passed_over_until = 0.0
        self._full_since: float | None = None
        self._pool = ConnectionPool(self._connect, 0, self._settings.idle_timeout_seconds)
        self.become(role)

    def become(self, role: Literal["primary", "replica"]) -> None:
        """Be the pool of a primary or of a replica from now on: its size and how long a failure counts differ."""
        self.role = role
        size = self._settings.primary_size if role == "primary" else self._settings.replica_size
        self.size = self._pool.size = min(size, self._settings.max_connections)

    async def close(self, timeout: float = 5) -> None:
        """Wait for lent connections up to `timeout` seconds, then cut them."""
        await self._pool.close(timeout)

    async def _connect(self) -> Connection:
        began = time.monotonic()
        connection: Connection = await connect_endpoint(
            self.endpoint,
            shard_id=self.shard_id,
            database=self._deployment.sharding.database,
            secrets_directory=self._deployment.secrets_directory,
            ca_file=self._deployment.ca_file,
            timeout=self._settings.connect_timeout_seconds,
            statement_timeout=self._settings.statement_timeout_seconds,
            statement_cache_size=self._settings.statement_cache_capacity,
        )
        now = time.monotonic()
        took = now - began
        self.distance = took if self.distance is None else 0.8 * self.distance + 0.2 * took
        lifetime = self._settings.max_lifetime_seconds * (1 - MAX_LIFETIME_JITTER * random.random())
        connection.expires_at = now + lifetime
        self.replayed = 0
        return connection

    @property
    def active(self) -> int:
        """Connections lent out now."""
        return len(self._pool.lent)

    @property
    def available(self) -> bool:
        """Whether it may be tried: it works, or its time of being passed over is up."""
        return self.failures == 0 or time.monotonic() >= self._passed_over_until

    def failed(self) -> None:
        """Note a failure: pass it over for a while, longer each time."""
        longest = MAX_PENALTY_SECONDS[self.role]
        self._passed_over_until = time.monotonic() + min(longest, FIRST_PENALTY_SECONDS * 2**self.failures)
        self.failures = min(self.failures + 1, 16)

    async def acquire(self, timeout: float) -> Connection:
        """A connection, within `timeout` seconds.

        Raises: PoolExhausted, or DatabaseUnavailable when the instance cannot be reached.
        """
        if self.failures:
            if not self.available:
                raise DatabaseUnavailable(f"{self} failed a moment ago")
            # One caller finds out whether it is back; the others go on passing it over meanwhile.
            self._passed_over_until = time.monotonic() + timeout
        if self._pool.full:
            now = time.monotonic()
            if self._full_since is None:
                self._full_since = now
            elif now > self._full_since + STUCK_SECONDS:
                raise PoolExhausted(f"all {self.size} connections to {self} are in use, and none is answered")
        try:
            connection = await self._pool.acquire(timeout)
        except TimeoutError:
            if self._pool.full:
                raise PoolExhausted(
                    f"all {self.size} connections to {self} stayed in use for {timeout:.3g} s"
                ) from None
            self.failed()
            raise DatabaseUnavailable(f"{self} did not answer within {timeout:.3g} s") from None
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, CredentialsError) as error:
            self.failed()
            raise DatabaseUnavailable(f"{self} cannot be reached: {error}") from error
        self.failures = 0
        return connection

    def release(self, connection: Connection, *, answered: bool = True) -> None:
        """Take a connection back; `answered`: whether the instance did."""
        if answered:
            self._full_since = None
        self._pool.release(connection)

    def lost(self, connection: Connection) -> None:
        """Take back a connection that was lost, and have the others made anew: their server went away too."""
        connection.terminate()
        self._pool.release(connection)
        self.expire()

    def expire(self) -> None:
        """Have every connection made anew: the idle ones end now, those lent when they return."""
        self._pool.expire()

    async def has_replayed(self, connection: Connection, lsn: int) -> bool:
        """Whether this replica has replayed up to `lsn`; asks it only when that is not known already.

        The question precedes the read in a statement of its own: within one statement the snapshot is taken
        first, and a position read after it would vouch for rows the snapshot does not have.
        """
        if self.replayed < lsn:
            position = await connection.fetchval("SELECT pg_last_wal_replay_lsn()")
            self.replayed = max(self.replayed, position or 0)
        return self.replayed >= lsn

    def sample(self) -> PoolSample:
        """For the metrics."""
        return PoolSample(self.shard_id, self.region, self.role, self.active, self.size, self.failures)

    def __str__(self) -> str:
        return f"shard {self.shard_id}'s {self.role} in {self.region}"


class OptimizedConnectionPool:
    """All pools of one shard. The specification's name and fields.

    `primary_pool` takes writes; `read_pools` are the replicas by region; `config` are the sizes and times. They begin
    as the document has them; `arrange` follows promotions. `instances` are all, the document's primary first, those
    too that nothing may be asked of now. `timeline` is the primary's, once it was asked.
    """

    def __init__(self, deployment: Deployment, shard: ShardConfig) -> None:
        self.shard = shard
        self.config: PoolConfig = deployment.pools
        self.timeline: str | None = None
        self.instances = [
            InstancePool(deployment, shard, shard.primary, "primary"),
            *(InstancePool(deployment, shard, replica, "replica") for replica in shard.replicas),
        ]
        self._region = deployment.region
        self.arrange(self.instances[0], self.instances[1:])

    def arrange(self, primary: InstancePool, replicas: list[InstancePool]) -> None:
        """Write to `primary` and read from it and `replicas` from now on; both of `instances`."""
        self.primary_pool = primary
        self.read_pools: dict[str, list[InstancePool]] = {}
        for pool in replicas:
            self.read_pools.setdefault(pool.region, []).append(pool)
        for pool in self.instances:
            pool.become("primary" if pool is primary else "replica")
        self._pools = [primary, *replicas]
        self._ordered: list[InstancePool] = []
        self._ordered_for: tuple[object, ...] = ()

    async def close(self) -> None:
        """Close them all."""
        await asyncio.gather(*(pool.close() for pool in self.instances))

    def __iter__(self) -> Iterator[InstancePool]:
        """The pools in use, the primary's first."""
        return iter(self._pools)

    def standing_by(self, region: str) -> list[InstancePool]:
        """The instances in a region that are not the primary: its replicas, and those that a promotion left behind."""
        return [pool for pool in self.instances if pool.region == region and pool is not self.primary_pool]

    def candidates(self, preference: ReadPreference) -> list[InstancePool]:
        """Where a read may go, best first, the primary always among them.

        `replica`: replicas from near to far, then the primary. `nearest`: all from near to far. Of two in one
        region the replica comes first, to spare the primary. The process's own region is nearest, then whoever
        connects faster. Instances being passed over come last: better a late answer than none.
        """
        if preference is ReadPreference.PRIMARY:
            return [self.primary_pool]
        failing = [pool for pool in self._pools if pool.failures]
        known = (preference, *[pool.distance for pool in self._pools])
        if failing or known != self._ordered_for:
            self._ordered = sorted(self._pools, key=lambda pool: self._rank(pool, preference))
            # With one failing the order changes as time goes by.
            self._ordered_for = () if failing else known
        return self._ordered.copy()

    def _rank(self, pool: InstancePool, preference: ReadPreference) -> tuple[bool, bool, bool, float, bool]:
        is_primary = pool.role == "primary"
        far = pool.region != self._region
        distance = 0.0 if not far else (pool.distance if pool.distance is not None else float("inf"))
        return (
            not pool.available,
            preference is ReadPreference.REPLICA and is_primary,
            far,
            distance,
            is_primary,
        )
