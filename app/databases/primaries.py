"""Which of a shard's instances is its primary now: they are asked, so that following a promotion needs no new document.

The document names the primary that was. After a promotion (of a replica in another region, where the
region is lost) the promoted instance writes a newer timeline, PostgreSQL's own count of promotions along
a history: of two instances that would take writes, the one with the newer timeline is the primary, and
the other one is closed, for whoever has not heard yet. What a process cannot reach it cannot ask: while
the old primary and its clients are cut off from everybody else, they go on writing what will be lost.
Whoever promotes makes sure first that the old primary is down or fenced (docs/runbooks/region.md).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

import asyncpg

from app.databases.pools import DatabaseUnavailable, InstancePool, OptimizedConnectionPool, connection_lost

log = logging.getLogger(__name__)

PROBE_SECONDS = 2.5
"""How long an instance may take to say what it is: a new connection with TLS takes seven round trips, each up to 220 ms
between the specification's regions, and as much again for a slow day."""

STANDING = """
SELECT pg_is_in_recovery() AS standby, CASE
    WHEN pg_is_in_recovery() THEN
        (SELECT lpad(upper(to_hex(received_tli)), 8, '0') FROM pg_stat_wal_receiver WHERE status = 'streaming')
    ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8)
END AS timeline"""


class Standing(NamedTuple):
    """What an instance says it is: a standby or not, and the timeline that it writes or streams (None: it does not)."""

    standby: bool
    timeline: str | None


class Arrangement(NamedTuple):
    """Who is what among a shard's instances. `superseded` would take writes and must not; `twins` have the primary's
    own timeline, so that nobody but an operator can tell which one is right."""

    primary: InstancePool
    replicas: list[InstancePool]
    superseded: list[InstancePool]
    twins: list[InstancePool]


def arrange(pools: OptimizedConnectionPool, said: Mapping[InstancePool, Standing]) -> Arrangement:
    """The arrangement that follows from what the instances said; who said nothing stays what it was, except that a
    primary that was followed by another is left out until it is a standby. Pure.

    The document's word goes for replicas while its primary is the primary. After a promotion only those count that
    stream from the promoted instance: the others will never again be newer than they are.
    """
    writable = [pool for pool in pools.instances if pool in said and not said[pool].standby]
    newest = max((said[pool].timeline or "" for pool in writable), default=None)
    best = [pool for pool in writable if said[pool].timeline == newest]
    primary = pools.primary_pool if not best or pools.primary_pool in best else best[0]
    replicas = []
    for pool in pools.instances:
        if pool is primary:
            continue
        if pool not in said or newest is None:
            keep = pool in pools and pool is not pools.primary_pool
        else:
            follows = primary is pools.instances[0] or said[pool].timeline == newest
            keep = said[pool].standby and follows
        if keep:
            replicas.append(pool)
    superseded = [pool for pool in writable if pool not in best]
    return Arrangement(primary, replicas, superseded, [pool for pool in best if pool is not primary])


async def standing(pool: InstancePool) -> Standing | None:
    """What an instance says it is; None where it does not answer."""
    try:
        connection = await pool.acquire(PROBE_SECONDS)
    except DatabaseUnavailable:
        return None
    try:
        row = await connection.fetchrow(STANDING, timeout=PROBE_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        if isinstance(error, TimeoutError) or connection_lost(error, connection):
            pool.lost(connection)
            pool.failed()
        else:
            pool.release(connection)
        log.info("%s did not say what it is: %s", pool, error or type(error).__name__)
        return None
    pool.release(connection)
    return Standing(row["standby"], row["timeline"])


async def order(pool: InstancePool, query: str) -> int:
    """Have an instance open or close itself; how many slots that changed. Raises DatabaseUnavailable."""
    connection = await pool.acquire(PROBE_SECONDS)
    try:
        changed: int = await connection.fetchval(query, timeout=PROBE_SECONDS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        if isinstance(error, TimeoutError) or connection_lost(error, connection):
            pool.lost(connection)
        else:
            pool.release(connection)
        raise DatabaseUnavailable(f"{pool} was not told: {error or type(error).__name__}") from error
    pool.release(connection)
    return changed
