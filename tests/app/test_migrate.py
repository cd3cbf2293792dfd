from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from app.databases.ownership import MIGRATION_LOCK
from app.deployment import Deployment, KeyRange
from app.migrate import (
    DIRECTORY,
    LOCK_SECONDS,
    MigrationError,
    migrate,
    migrate_shard,
    migrations,
    owned_elsewhere,
    seed_slots,
)
from app.reshard.tables import TABLES
from tests.app.fixtures_postgres import PostgresShards


@pytest.fixture
async def empty(postgres: PostgresShards) -> AsyncIterator[dict[str, Any]]:
    """An empty database of its own on shard 3, as asyncpg arguments."""
    server, name = postgres.primaries[3], f"migrate_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(**server.dsn("postgres"))
    await admin.execute(f"CREATE DATABASE {name}")
    yield server.dsn(name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def connection(empty: dict[str, Any]) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(**empty)
    yield connection
    await connection.close()


NEXT = f"m{len(migrations()) + 1:04}_next"
LATE = f"m{len(migrations()) + 2:04}_late"


async def test_an_empty_database_gets_everything_and_a_second_run_nothing(connection: asyncpg.Connection) -> None:
    names = [migration.name for migration in migrations()]
    assert await migrate(connection) == names
    assert await migrate(connection) == []


async def test_many_at_once_apply_each_migration_once(empty: dict[str, Any]) -> None:
    connections = [await asyncpg.connect(**empty) for _ in range(4)]
    applied = await asyncio.gather(*(migrate(connection) for connection in connections))
    assert sorted(name for names in applied for name in names) == [migration.name for migration in migrations()]
    for connection in connections:
        await connection.close()


def copy_of_migrations(path: Path, **changed: str) -> Path:
    for file in DIRECTORY.glob("*.sql"):
        (path / file.name).write_text(file.read_text())
    for name, text in changed.items():
        (path / f"{name.replace('m', '', 1)}.sql").write_text(text)
    return path


async def test_a_migration_that_fails_leaves_those_before_it_and_can_be_repeated(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    broken = copy_of_migrations(tmp_path, **{NEXT: "CREATE TABLE extra (id int PRIMARY KEY); SELECT nonsense"})
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate(connection, broken)
    assert await connection.fetchval("SELECT to_regclass('extra')") is None
    copy_of_migrations(tmp_path, **{NEXT: "CREATE TABLE extra (id int PRIMARY KEY)"})
    assert await migrate(connection, tmp_path) == [NEXT[1:]]


async def test_a_migration_changed_after_its_run_is_refused(connection: asyncpg.Connection, tmp_path: Path) -> None:
    await migrate(connection)
    changed = copy_of_migrations(tmp_path, m0001_schema="SELECT 1")
    with pytest.raises(MigrationError, match="0001_schema was changed after it was applied"):
        await migrate(connection, changed)


async def test_a_database_ahead_of_the_code_is_refused(connection: asyncpg.Connection, tmp_path: Path) -> None:
    await migrate(connection, copy_of_migrations(tmp_path, **{NEXT: "SELECT 1"}))
    with pytest.raises(
        MigrationError, match=f"has migration {len(migrations()) + 1}, which this version does not know"
    ):
        await migrate(connection)


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    copy_of_migrations(tmp_path, **{LATE: "SELECT 1"})
    with pytest.raises(MigrationError, match=f"{LATE[1:]}: number {len(migrations()) + 1:04} was expected"):
        migrations(tmp_path)


async def test_every_table_can_be_replicated(connection: asyncpg.Connection) -> None:
    await migrate(connection)
    rows = await connection.fetch(
        "SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace "
        "AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)"
    )
    assert [row["relname"] for row in rows] == []


async def test_every_table_with_a_slot_moves_with_it(connection: asyncpg.Connection) -> None:
    await migrate(connection)
    rows = await connection.fetch(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'slot'"
    )
    assert {row["table_name"] for row in rows} == {*TABLES, "slots"}


async def test_slots_are_seeded_once(connection: asyncpg.Connection) -> None:
    await migrate(connection)
    assert await seed_slots(connection, [1, 2, 3], 1) == 3
    assert await seed_slots(connection, [1, 2, 3, 4], 2) == 0
    assert [tuple(row) for row in await connection.fetch("SELECT slot, epoch, state FROM slots ORDER BY slot")] == [
        (1, 1, "owned"),
        (2, 1, "owned"),
        (3, 1, "owned"),
    ]


async def test_a_new_shard_is_not_given_slots_that_another_owns(
    deployment: Deployment, postgres: PostgresShards
) -> None:
    first, second, third = deployment.sharding.shards
    first = msgspec.structs.replace(first, key_ranges=(KeyRange(start=0, end=299),))
    third = msgspec.structs.replace(third, key_ranges=(KeyRange(start=300, end=333), *third.key_ranges))
    sharding = msgspec.structs.replace(deployment.sharding, shards=(first, second, third))
    connection = await asyncpg.connect(**postgres.primaries[3].dsn())
    await connection.execute("DELETE FROM slots")
    await connection.close()
    with pytest.raises(MigrationError, match="gives shard 3 the slots 300-333, which shard 1 owns"):
        await migrate_shard(msgspec.structs.replace(deployment, sharding=sharding), third)


def secrets_with(deployment: Any, path: Path, **owner: str) -> Any:
    """The deployment with other credentials of shard 2's owner, in a directory of its own."""
    shutil.copytree(deployment.secrets_directory, path)
    admin = json.loads((path / "admin-2").read_text())
    for account in admin["accounts"]:
        if account["role"] == "hal9_owner":
            account.update(owner)
            (path / "owner-2").write_text(json.dumps(account))
    (path / "admin-2").write_text(json.dumps(admin))
    return msgspec.structs.replace(deployment, secrets_directory=str(path))


async def test_a_shard_that_has_no_accounts_yet_owns_no_slots(deployment: Deployment, tmp_path: Path) -> None:
    """The first deployment: each shard asks others whose own migration has not begun."""
    third = deployment.sharding.shards[2]
    made = secrets_with(deployment, tmp_path / "changed", username="hal9_owner_77")
    assert await owned_elsewhere(made, third, [334]) == {}


async def test_a_shard_that_refuses_a_known_account_is_not_taken_for_a_new_one(
    deployment: Deployment, tmp_path: Path
) -> None:
    third = deployment.sharding.shards[2]
    made = secrets_with(deployment, tmp_path / "changed", password="wrong")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await owned_elsewhere(made, third, [334])


async def test_the_command_migrates_and_says_so(deployment: Deployment, tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    path.write_bytes(deployment.encode())
    command = [sys.executable, "-m", "app.migrate", "--document", str(path), "--shard"]
    done = await asyncio.to_thread(subprocess.run, [*command, "all"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, [f"shard {n}: up to date" for n in (1, 2, 3)])
    done = await asyncio.to_thread(subprocess.run, [*command, "9"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "app.migrate: the document has no shard 9\n")


async def test_a_migration_waits_for_no_reader_for_long_and_is_tried_again(
    connection: asyncpg.Connection, empty: dict[str, Any], tmp_path: Path
) -> None:
    """`ALTER TABLE` behind one long reader would hold up every writer that comes after it."""
    for file in DIRECTORY.glob("*.sql"):
        (tmp_path / file.name).write_text(file.read_text())
    await migrate(connection, tmp_path)
    (tmp_path / f"{len(migrations(tmp_path)) + 1:04}_more.sql").write_text("ALTER TABLE items ADD COLUMN more int;")
    reader, writer = [await asyncpg.connect(**empty) for _ in range(2)]
    await reader.execute("BEGIN; LOCK TABLE items IN ACCESS SHARE MODE")
    run = asyncio.create_task(migrate(connection, tmp_path))
    await asyncio.sleep(0.5)
    async with asyncio.timeout(LOCK_SECONDS + 10):
        await writer.fetchval("SELECT count(*) FROM items")
    await reader.execute("ROLLBACK")
    assert len(await run) == 1
    for one in (reader, writer):
        await one.close()


async def test_an_older_app_runs_on_a_newer_schema_that_says_it_may(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (a int);")
    (tmp_path / "0002_two.sql").write_text("-- works with: 1\nALTER TABLE one ADD COLUMN b int;")
    await migrate(connection, tmp_path)
    (tmp_path / "0002_two.sql").unlink()
    assert await migrate(connection, tmp_path) == []
    (tmp_path / "0002_two.sql").write_text("-- works with: 1\nALTER TABLE one ADD COLUMN b int;")
    (tmp_path / "0003_three.sql").write_text("ALTER TABLE one DROP COLUMN a;")
    await migrate(connection, tmp_path)
    for name in ("0002_two.sql", "0003_three.sql"):
        (tmp_path / name).unlink()
    with pytest.raises(MigrationError, match="migration 3, which this version does not know"):
        await migrate(connection, tmp_path)


async def test_a_concurrent_index_runs_outside_a_transaction_and_one_that_failed_is_dropped_first(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one (a int); INSERT INTO one VALUES (1), (1);")
    index = "-- no transaction\nCREATE UNIQUE INDEX CONCURRENTLY one_a ON one (a);"
    (tmp_path / "0002_index.sql").write_text(index)
    with pytest.raises(asyncpg.UniqueViolationError):
        await migrate(connection, tmp_path)
    await connection.execute("DELETE FROM one")
    assert await migrate(connection, tmp_path) == ["0002_index"]
    assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'one_a'::regclass")


async def test_a_migration_and_a_mover_wait_for_each_other_by_name(
    connection: asyncpg.Connection, empty: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.migrate.WAIT_SECONDS", 0.3)
    mover = await asyncpg.connect(**empty, server_settings={"application_name": "hal9-reshard"})
    await mover.execute("SELECT pg_advisory_lock_shared($1)", MIGRATION_LOCK)
    with pytest.raises(MigrationError, match=r"pid \d+ \(hal9-reshard\); nothing was changed"):
        await migrate(connection)
    await mover.close()


async def test_a_migration_does_not_begin_while_a_move_is_under_way(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    for file in DIRECTORY.glob("*.sql"):
        (tmp_path / file.name).write_text(file.read_text())
    await migrate(connection, tmp_path)
    await connection.execute(
        "INSERT INTO moves (id, source, target, slots, step, epoch) VALUES (gen_random_uuid(), 1, 2, "
        "'{1}', 'switched', 1)"
    )
    assert await migrate(connection, tmp_path) == []  # nothing to do is no harm
    (tmp_path / f"{len(migrations(tmp_path)) + 1:04}_more.sql").write_text("ALTER TABLE items ADD COLUMN more int;")
    with pytest.raises(MigrationError, match=r"a move of slots is under way: .* \(switched\)"):
        await migrate(connection, tmp_path)
