"""Schema migrations of a shard: `python -m app.migrate --document FILE --shard N` (`--shard all` for every one).

First the shard's accounts (app/databases/accounts.py), then its schema.
Forward only: numbered SQL files, each applied once in its own transaction, in order, under an advisory lock, so
that any number of pods may run this at once and again. A file that changed after it was applied is refused.
The first run also seeds the shard's `slots` from the document; later the document changes nothing there,
as Postgres has the last word on who owns a slot (app/reshard moves them).
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import asyncio
import contextlib
import hashlib
import random
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import asyncpg

from app import document
from app.databases import accounts
from app.databases.connect import connect
from app.databases.credentials import OWNER, Administration, CredentialsError, administration
from app.databases.ownership import IS_OWNER, MIGRATION_LOCK
from app.databases.sharding import ShardMap
from app.databases.slots import describe
from app.deployment import Deployment, ShardConfig

DIRECTORY = Path(__file__).parent / "migrations"
LOCK_SECONDS = 2
"""How long a migration's statement waits for a table's lock. Whoever comes
behind it in the queue waits as long, so it is short, and tried again.
"""
LOCK_ATTEMPTS = 20
WAIT_SECONDS = 60.0
"""How long a run waits for another one, or for a mover at work, on the same shard."""
COMPATIBLE = re.compile(r"^-- works with: (\d+)$", re.MULTILINE)
"""A migration's word on the oldest version of the schema whose app runs on the new one (docs/decisions, expand and
contract). Without it, none older does."""
ALONE = re.compile(r"^-- no transaction$", re.MULTILINE)
"""A migration of one statement that runs outside a transaction, such as a concurrent index."""
_CONCURRENT_INDEX = re.compile(r"CREATE (?:UNIQUE )?INDEX CONCURRENTLY (?:IF NOT EXISTS )?(\w+)")

LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""
LEDGER_SINCE = "ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS works_with integer"
"""Of a migration: the oldest version whose app runs on it; NULL where none older than itself does."""
UNFINISHED = """
SELECT id::text || ' (' || step || ')' FROM moves WHERE step NOT IN ('finished', 'reversed', 'aborted')
UNION ALL SELECT subname::text FROM pg_subscription WHERE subname LIKE 'hal9_move_%'"""
"""The moves that this shard is a side of: its own records, and the streams that it receives."""


class MigrationError(RuntimeError):
    """Migrations that cannot be applied: a file changed after its run, or the database is ahead of this code."""


class Migration(NamedTuple):
    """One numbered SQL file."""

    version: int
    name: str
    sql: str

    @property
    def works_with(self) -> int:
        """The oldest version whose app runs on the schema that this makes."""
        found = COMPATIBLE.search(self.sql)
        return int(found[1]) if found else self.version

    @property
    def digest(self) -> str:
        """SHA-256 of its text, kept with the record of its run."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(directory: Path = DIRECTORY) -> list[Migration]:
    """The migrations in `directory`, by number. Raises MigrationError for a gap or a number used twice."""
    found = [
        Migration(int(path.name[:4]), path.stem, path.read_text("utf-8")) for path in sorted(directory.glob("*.sql"))
    ]
    for expected, migration in enumerate(found, start=1):
        if migration.version != expected:
            raise MigrationError(f"{migration.name}: number {expected:04} was expected")
    return found


async def migrate(connection: asyncpg.Connection, directory: Path = DIRECTORY) -> list[str]:
    """Bring the database of `connection` up to date; the names of what was applied now.

    Raises: MigrationError. Each migration commits or fails alone, so a failure leaves those before it.
    """
    await _lock(connection)
    try:
        await connection.execute(LEDGER)
        await connection.execute(LEDGER_SINCE)
        known = {row["version"]: row for row in await connection.fetch("SELECT * FROM schema_migrations")}
        files = migrations(directory)
        for version in sorted(known.keys() - {migration.version for migration in files}):
            works_with = known[version]["works_with"]
            if works_with is None or works_with > len(files):
                raise MigrationError(
                    f"the database has migration {version}, which this version does not know and which says of no "
                    f"version as old as {len(files)} that it runs on it: deploy the version that brought it"
                )
        missing = []
        for migration in files:
            if migration.version not in known:
                missing.append(migration)
            elif known[migration.version]["digest"] != migration.digest:
                raise MigrationError(f"{migration.name} was changed after it was applied; add a new one instead")
        if missing and await connection.fetchval("SELECT to_regclass('moves') IS NOT NULL"):
            moves = [row[0] for row in await connection.fetch(UNFINISHED)]
            if moves:
                raise MigrationError(
                    f"a move of slots is under way: {', '.join(moves)}. A migration would change one "
                    "side of it: finish, "
                    "reverse or abort it first (python -m app.reshard status)"
                )
        for migration in missing:
            await _apply(connection, migration)
        return [migration.name for migration in missing]
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", MIGRATION_LOCK)


async def _lock(connection: asyncpg.Connection) -> None:
    """Be the only one who changes the schema, with no mover at work. Raises MigrationError after WAIT_SECONDS."""
    give_up = time.monotonic() + WAIT_SECONDS
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", MIGRATION_LOCK):
        if time.monotonic() > give_up:
            holders = await connection.fetch(HOLDERS, MIGRATION_LOCK)
            who = (
                ", ".join(f"pid {row['pid']} ({row['application_name'] or 'unnamed'})" for row in holders)
                or "nobody now"
            )
            raise MigrationError(
                f"another migration, or a mover of slots, has been at work for {WAIT_SECONDS:g} s: "
                f"{who}; nothing was changed"
            )
        await asyncio.sleep(0.2)


HOLDERS = """
SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objid = $1::bigint::oid AND l.granted"""


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    """Apply one migration. It gives way where it would wait for a table's lock for long, and tries again.

    Raises: MigrationError where it never got the lock.
    """
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            if ALONE.search(migration.sql):
                await _apply_alone(connection, migration)
                return
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
                await connection.execute(migration.sql)
                await _note(connection, migration)
        except asyncpg.LockNotAvailableError:
            print(f"{migration.name}: somebody holds a table; tried {attempt} of {LOCK_ATTEMPTS} times", flush=True)
            await asyncio.sleep(random.uniform(0.5, 1.5))
        else:
            return
    raise MigrationError(f"{migration.name}: a table was in use at each of {LOCK_ATTEMPTS} tries; nothing was changed")


async def _apply_alone(connection: asyncpg.Connection, migration: Migration) -> None:
    """Apply a migration that is one statement outside a
    transaction; a concurrent index that failed is dropped first.
    """
    index = _CONCURRENT_INDEX.search(migration.sql)
    if index and await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass($1) AND NOT indisvalid)", index[1]
    ):
        await connection.execute(f"DROP INDEX CONCURRENTLY {index[1]}")
    await connection.execute(migration.sql)
    await _note(connection, migration)


async def _note(connection: asyncpg.Connection, migration: Migration) -> None:
    await connection.execute(
        "INSERT INTO schema_migrations (version, name, digest, works_with) VALUES ($1, $2, $3, $4)",
        migration.version,
        migration.name,
        migration.digest,
        migration.works_with,
    )


async def seed_slots(connection: asyncpg.Connection, slots: list[int], epoch: int) -> int:
    """Give a shard that never had a slot those of the document; how many. A shard with any slot keeps its own."""
    async with connection.transaction():
        await connection.execute("LOCK TABLE slots IN EXCLUSIVE MODE")
        if await connection.fetchval("SELECT EXISTS (SELECT FROM slots)"):
            return 0
        await connection.execute(
            "INSERT INTO slots (slot, epoch, state) SELECT unnest($1::smallint[]), $2, 'owned'", slots, epoch
        )
        return len(slots)


async def owned_elsewhere(deployment: Deployment, shard: ShardConfig, slots: list[int]) -> dict[int, list[int]]:
    """Which of `slots` other shards own by their own word: shard id to slots. Shards not yet migrated own none."""
    claims: dict[int, list[int]] = {}
    for other in deployment.sharding.shards:
        if other.id == shard.id:
            continue
        try:
            connection = await connect(deployment, other)
        except asyncpg.InvalidAuthorizationSpecificationError:
            if await _has_accounts(deployment, other):
                raise
            continue
        try:
            rows = await connection.fetch(f"SELECT slot FROM slots WHERE slot = ANY ($1) AND {IS_OWNER}", slots)
        except asyncpg.UndefinedTableError:
            rows = []
        finally:
            await connection.close()
        if rows:
            claims[other.id] = [row["slot"] for row in rows]
    return claims


async def _has_accounts(deployment: Deployment, shard: ShardConfig) -> bool:
    """Whether the shard's owner was made yet, as its master says; its own migration makes it."""
    async with _as_master(deployment, shard) as (master, wanted):
        names = [account.username for account in wanted.accounts if account.role == OWNER]
        return bool(await master.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = ANY ($1))", names))


@contextlib.asynccontextmanager
async def _as_master(
    deployment: Deployment, shard: ShardConfig
) -> AsyncIterator[tuple[asyncpg.Connection, Administration]]:
    """A connection to the shard's primary as its master, and the accounts that the shard is to have."""
    wanted = administration(deployment.secrets_directory, shard.id)
    master = await connect(deployment, shard, account=wanted.master)
    try:
        yield master, wanted
    finally:
        await master.close()


async def migrate_shard(deployment: Deployment, shard: ShardConfig) -> list[str]:
    """Give one shard's primary its accounts, then as its tables'
    owner migrate it and seed its slots; what was done now.

    Raises: MigrationError when the document gives a new shard slots that another one owns in fact; CredentialsError.
    """
    async with _as_master(deployment, shard) as (master, wanted):
        done = await accounts.make(master, wanted, deployment.sharding.database)
    connection = await connect(deployment, shard)
    try:
        done += await migrate(connection)
        slots = ShardMap(deployment.sharding).slots_of(shard.id)
        if slots and not await connection.fetchval("SELECT EXISTS (SELECT FROM slots)"):
            for owner, owned in (await owned_elsewhere(deployment, shard, slots)).items():
                raise MigrationError(
                    f"the document gives shard {shard.id} the slots {describe(owned)}, which shard {owner} owns; "
                    "give the new shard no keyRanges and move them with app.reshard"
                )
            await seed_slots(connection, slots, deployment.sharding.epoch)
        return done
    finally:
        await connection.close()


async def main(arguments: list[str] | None = None) -> int:
    """The command line; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m app.migrate", description=__doc__.splitlines()[0])
    parser.add_argument("--document", required=True, help="the deployment document")
    parser.add_argument("--shard", required=True, help="a shard's id, or `all`")
    options = parser.parse_args(arguments)
    try:
        deployment = document.load(options.document)
        shards = [s for s in deployment.sharding.shards if options.shard in ("all", str(s.id))]
        if not shards:
            raise MigrationError(f"the document has no shard {options.shard}")
        for shard in shards:
            done = await migrate_shard(deployment, shard)
            print(f"shard {shard.id}: {', '.join(done) or 'up to date'}")
    except (document.DocumentError, CredentialsError, MigrationError, OSError, asyncpg.PostgresError) as error:
        print(f"app.migrate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    console.run(lambda: asyncio.run(main()))
