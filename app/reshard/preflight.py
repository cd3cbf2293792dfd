"""What must be true before slots move. Each check answers with what is wrong and what to do, or nothing."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable

import asyncpg

from app.databases.ownership import IS_OWNER
from app.databases.slots import describe
from app.deployment import Deployment
from app.reshard import journal
from app.reshard.replication import Side, Stream
from app.reshard.tables import TABLES

MAX_REPLAY_LAG_BYTES = 64 * 1024 * 1024
"""A replica of either shard further behind than this: the move's own WAL would only add to it."""
MAX_RETAINED_BYTES = 1024 * 1024 * 1024
"""WAL that an inactive replication slot may hold back: more means an orphan, which fills the disk."""
DISK_FACTOR = 3
"""Free space the target needs, in sizes of the moved rows: heap and indexes, and as much again in WAL."""


class PreflightError(RuntimeError):
    """Something stands in the way of the move; nothing was changed."""


async def check(
    deployment: Deployment, source: Side, target: Side, slots: list[int], free_bytes: int | None
) -> list[str]:
    """Everything that stands in the way of moving `slots`. `free_bytes`: the target's free disk; None is unknown."""
    checks: list[Callable[[], AsyncIterator[str]]] = [
        lambda: _servers(source, target),
        lambda: _reach(deployment, source, target, slots),
        lambda: schema(source, target),
        lambda: _identities(source),
        lambda: _sequences(source),
        lambda: _capacity(source, target),
        lambda: _orphans(source, target),
        lambda: _owners(source, target, slots),
        lambda: _lag(source, target),
        lambda: _disk(source, slots, free_bytes),
    ]
    found: list[str] = []
    for run in checks:
        found += [problem async for problem in run()]
    return found


async def size_of(source: asyncpg.Connection, slots: list[int]) -> tuple[int, int]:
    """Rows and bytes of `slots`, indexes left out."""
    rows = size = 0
    for table in TABLES:
        row = await source.fetchrow(
            f"SELECT count(*) AS number, coalesce(sum(pg_column_size(t.*)), 0) AS size FROM {table} t "
            "WHERE slot = ANY ($1)",
            slots,
        )
        rows, size = rows + row["number"], size + int(row["size"])
    return rows, size


async def _servers(source: Side, target: Side) -> AsyncIterator[str]:
    for side in (source, target):
        version, level, standby = await side.connection.fetchrow(
            "SELECT current_setting('server_version_num')::int, current_setting('wal_level'), pg_is_in_recovery()"
        )
        if version < 160000:
            yield f"shard {side.shard.id} runs version {version // 10000}; streams without loops need 16"
        if level != "logical":
            yield f"shard {side.shard.id} has wal_level {level}, not logical (on RDS: rds.logical_replication = 1)"
        if standby:
            yield f"shard {side.shard.id}'s primary is a standby; the document is behind a failover"


async def schema(source: Side, target: Side) -> AsyncIterator[str]:
    """How the two shards' migrations and columns differ: DDL is not replicated."""
    columns = (
        "SELECT table_name::text, column_name::text, data_type::text, is_nullable::text, column_default::text "
        "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, ordinal_position"
    )
    migrations = "SELECT version, digest FROM schema_migrations ORDER BY version"
    for what, query in (("migrations", migrations), ("columns", columns)):
        here = [tuple(row) for row in await source.connection.fetch(query)]
        there = [tuple(row) for row in await target.connection.fetch(query)]
        if here != there:
            odd = sorted({str(row[0]) for row in set(here) ^ set(there)}) or ["their order"]
            yield f"the {what} of the two shards differ ({', '.join(odd)}): DDL is not replicated; migrate both first"


async def _reach(deployment: Deployment, source: Side, target: Side, slots: list[int]) -> AsyncIterator[str]:
    """Each shard's server has to open connections to the other's, for the way out and for the way back."""
    for sender, receiver in ((source, target), (target, source)):
        trial = uuid.uuid4()
        stream = Stream(f"hal9_move_{trial.hex[:12]}_try", trial, slots, sender, receiver)
        problem = await stream.reaches(deployment)
        if problem is not None:
            yield (
                f"shard {receiver.shard.id} cannot reach shard {sender.shard.id} at "
                f"{sender.shard.primary.endpoint.host}:{sender.shard.primary.endpoint.port}: {problem}"
            )


async def _identities(source: Side) -> AsyncIterator[str]:
    for table in TABLES:
        row = await source.connection.fetchrow(
            "SELECT c.relreplident::text AS identity, coalesce(bool_or(a.attname = 'slot'), false) AS has_slot "
            "FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid AND CASE c.relreplident "
            "WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END "
            "LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) "
            "WHERE c.oid = $1::text::regclass GROUP BY c.relreplident",
            table,
        )
        if row["identity"] != "f" and not row["has_slot"]:
            yield f"{table} has no replica identity with the slot in it: its updates and deletes would be lost"


async def _sequences(source: Side) -> AsyncIterator[str]:
    rows = await source.connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace"
    )
    if rows:
        names = ", ".join(row["relname"] for row in rows)
        yield f"sequences are not replicated, and the schema has {names}"


async def _capacity(source: Side, target: Side) -> AsyncIterator[str]:
    for side, needed in ((source, 1 + len(TABLES) + 1), (target, 1)):
        row = await side.connection.fetchrow(
            "SELECT current_setting('max_replication_slots')::int - (SELECT count(*) FROM "
            "pg_replication_slots) AS slots,"
            " current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication) AS senders,"
            " current_setting('max_logical_replication_workers')::int - (SELECT count(*) FROM pg_stat_activity"
            " WHERE backend_type LIKE 'logical replication %worker') AS workers,"
            " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
            " OR pg_has_role('pg_create_subscription', 'member') AS may_subscribe"
        )
        if row["slots"] < needed or row["senders"] < needed:
            yield (
                f"shard {side.shard.id} has {row['slots']} replication slots and {row['senders']} "
                f"senders free of {needed}"
            )
        if row["workers"] < 2:
            yield f"shard {side.shard.id} has {row['workers']} logical replication workers free of 2"
        if not row["may_subscribe"]:
            yield f"the account of shard {side.shard.id} needs the role pg_create_subscription"


async def _orphans(source: Side, target: Side) -> AsyncIterator[str]:
    for side in (source, target):
        rows = await side.connection.fetch(
            "SELECT slot_name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) AS retained "
            "FROM pg_replication_slots WHERE NOT active"
        )
        for row in rows:
            if row["slot_name"].startswith("hal9_move_") or (row["retained"] or 0) > MAX_RETAINED_BYTES:
                yield (
                    f"shard {side.shard.id} has the inactive replication slot {row['slot_name']}, which holds back "
                    f"{int(row['retained'] or 0)} bytes of WAL: abort its move, or drop it"
                )


async def _owners(source: Side, target: Side, slots: list[int]) -> AsyncIterator[str]:
    rows = await source.connection.fetch("SELECT slot FROM slots WHERE slot = ANY ($1) AND state = 'owned'", slots)
    missing = sorted(set(slots) - {row["slot"] for row in rows})
    if missing:
        yield f"shard {source.shard.id} does not own the slots {describe(missing)}"
    rows = await target.connection.fetch(
        f"SELECT slot FROM slots WHERE slot = ANY ($1) AND ({IS_OWNER} OR state = 'incoming')", slots
    )
    if rows:
        yield f"shard {target.shard.id} owns or awaits the slots {describe(row['slot'] for row in rows)}"
    for side in (source, target):
        for other in await journal.find(side.connection, unfinished=True):
            yield f"shard {side.shard.id} is in move {other.id} ({other.step}): finish, reverse or abort it first"
    left, _ = await size_of(target.connection, slots)
    if left:
        yield f"shard {target.shard.id} has {left} rows of these slots already"


async def _lag(source: Side, target: Side) -> AsyncIterator[str]:
    for side in (source, target):
        rows = await side.connection.fetch(
            "SELECT coalesce(host(client_addr), 'local') AS address, "
            "pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS behind FROM pg_stat_replication "
            "WHERE application_name NOT LIKE 'hal9_move_%'"
        )
        for row in rows:
            if row["behind"] is None or row["behind"] > MAX_REPLAY_LAG_BYTES:
                amount = "an unknown number of" if row["behind"] is None else str(int(row["behind"]))
                yield f"the replica at {row['address']} of shard {side.shard.id} is {amount} bytes behind"


async def _disk(source: Side, slots: list[int], free_bytes: int | None) -> AsyncIterator[str]:
    _, size = await size_of(source.connection, slots)
    if free_bytes is None:
        yield (
            f"the target's free disk is not known; {size * DISK_FACTOR} bytes are needed. Pass --target-free-gib "
            "(on RDS: the metric FreeStorageSpace)"
        )
    elif free_bytes < size * DISK_FACTOR:
        yield f"the target has {free_bytes} bytes free, and {size * DISK_FACTOR} are needed"
