"""Schema migrations of a shard: `python -m app.migrate --document FILE --shard N` (`--shard all` for every one).

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
import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

import asyncpg

from app import document
from app.databases.connect import connect
from app.databases.sharding import ShardMap, describe
from app.deployment import Deployment, ShardConfig

DIRECTORY = Path(__file__).parent / "migrations"
ADVISORY_LOCK = 0x4A11_9000
"""Held for the length of a run. Any constant that nothing else in the database uses."""

LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class MigrationError(RuntimeError):
    """Migrations that cannot be applied: a file changed after its run, or the database is ahead of this code."""


class Migration(NamedTuple):
    """One numbered SQL file."""

    version: int
    name: str
    sql: str

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
    await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
    try:
        await connection.execute(LEDGER)
        known = {row["version"]: row for row in await connection.fetch("SELECT * FROM schema_migrations")}
        files = migrations(directory)
        ahead = sorted(known.keys() - {migration.version for migration in files})
        if ahead:
            raise MigrationError(f"the database has migration {ahead[-1]}, which this version does not know")
        applied = []
        for migration in files:
            if migration.version in known:
                if known[migration.version]["digest"] != migration.digest:
                    raise MigrationError(f"{migration.name} was changed after it was applied; add a new one instead")
                continue
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (version, name, digest) VALUES ($1, $2, $3)",
                    migration.version, migration.name, migration.digest,
                )  # fmt: skip
            applied.append(migration.name)
        return applied
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)


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
        connection = await connect(deployment, other)
        try:
            rows = await connection.fetch(
                "SELECT slot FROM slots WHERE slot = ANY ($1) AND state IN ('owned', 'fenced')", slots
            )
        except asyncpg.UndefinedTableError:
            rows = []
        finally:
            await connection.close()
        if rows:
            claims[other.id] = [row["slot"] for row in rows]
    return claims


async def migrate_shard(deployment: Deployment, shard: ShardConfig) -> list[str]:
    """Migrate one shard's primary and seed its slots; the names of what was applied now.

    Raises: MigrationError when the document gives a new shard slots that another one owns in fact.
    """
    connection = await connect(deployment, shard)
    try:
        applied = await migrate(connection)
        slots = ShardMap(deployment.sharding).slots_of(shard.id)
        if slots and not await connection.fetchval("SELECT EXISTS (SELECT FROM slots)"):
            for owner, owned in (await owned_elsewhere(deployment, shard, slots)).items():
                raise MigrationError(
                    f"the document gives shard {shard.id} the slots {describe(owned)}, which shard {owner} owns; "
                    "give the new shard no keyRanges and move them with app.reshard"
                )
            await seed_slots(connection, slots, deployment.sharding.epoch)
        return applied
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
            applied = await migrate_shard(deployment, shard)
            print(f"shard {shard.id}: {', '.join(applied) or 'up to date'}")
    except (document.DocumentError, MigrationError, OSError, asyncpg.PostgresError) as error:
        print(f"app.migrate: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    console.run(lambda: asyncio.run(main()))
