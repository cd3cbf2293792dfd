"""A shard's accounts on real PostgreSQL, made by a master as RDS has
one: not a superuser, with the right to give roles.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from app.databases import accounts
from app.databases.credentials import (
    APP,
    OWNER,
    Account,
    Administration,
    Credentials,
    CredentialsError,
    Role,
    administration,
)
from app.migrate import DIRECTORY, migrate, migrations
from lab.servers.postgres import DATABASE, PostgresServer
from lab.servers.process import work_directory

GIVEN = ("pg_monitor", "pg_signal_backend", "pg_create_subscription")
"""Of rds_superuser, what the accounts take from it (RDS User Guide, "Understanding the rds_superuser role")."""
ROLES: tuple[Role, Role] = ("hal9_app", "hal9_owner")
MASTER = Credentials(username="born_with", password="of the master")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with work_directory("hal9-accounts-test", in_memory=True) as directory:
        made = PostgresServer(directory / "server")
        made.create()
        made.start()
        try:
            yield made
        finally:
            made.kill()


@pytest_asyncio.fixture(autouse=True)
async def _database(server: PostgresServer) -> AsyncIterator[None]:
    """A database that belongs to the master, as RDS makes it, and nothing else; gone with its roles afterwards."""
    root = await asyncpg.connect(**server.dsn("postgres"))
    await root.execute(
        f"CREATE ROLE {MASTER.username} LOGIN CREATEROLE CREATEDB REPLICATION PASSWORD '{MASTER.password}'"
    )
    known = {row[0] for row in await root.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)", GIVEN)}
    for role in known:
        await root.execute(f"GRANT {role} TO {MASTER.username} WITH ADMIN OPTION")
    await root.execute(f"CREATE DATABASE {DATABASE} OWNER {MASTER.username}")
    yield
    await root.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    made = await root.fetch(
        "SELECT rolname FROM pg_roles WHERE rolname ~ '^hal9_(app|owner)(_[0-9]+)?$' ORDER BY 1 DESC"
    )
    for name in [*(row["rolname"] for row in made), MASTER.username]:
        await root.execute(f"DROP ROLE {name}")
    await root.close()


def wanted(*generations: int) -> Administration:
    return Administration(
        master=MASTER,
        accounts=tuple(
            Account(username=f"{role}_{number}", password=f"{role} {number}", role=role)
            for number in generations
            for role in ROLES
        ),
    )


async def as_user(server: PostgresServer, username: str, password: str) -> asyncpg.Connection:
    return await asyncpg.connect(**server.dsn(DATABASE) | {"user": username, "password": password})


async def make(server: PostgresServer, *generations: int) -> list[str]:
    master = await as_user(server, MASTER.username, MASTER.password)
    try:
        return await accounts.make(master, wanted(*generations), DATABASE)
    finally:
        await master.close()


async def migrated(server: PostgresServer, generation: int = 1) -> None:
    owner = await as_user(server, f"hal9_owner_{generation}", f"hal9_owner {generation}")
    await migrate(owner)
    await owner.close()


async def test_the_master_makes_them_once_and_the_owner_migrates(server: PostgresServer) -> None:
    assert await make(server, 1) == ["made hal9_app_1", "made hal9_owner_1"]
    assert await make(server, 1) == []
    await migrated(server)
    root = await asyncpg.connect(**server.dsn(DATABASE))
    owners = await root.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert [row[0] for row in owners] == [OWNER]
    await root.close()


async def test_a_master_without_accounts_migrates_all_the_same(server: PostgresServer) -> None:
    master = await as_user(server, MASTER.username, MASTER.password)
    assert await migrate(master) == [migration.name for migration in migrations()]
    await master.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE items",
        "ALTER TABLE items DISABLE TRIGGER ALL",
        "TRUNCATE items",
        "CREATE TABLE mine (id int)",
        "DELETE FROM slots",
        "INSERT INTO slots (slot, epoch, state) VALUES (1, 1, 'owned')",
        "UPDATE moves SET step = 'finished'",
        "DELETE FROM schema_migrations",
        "CREATE ROLE another",
        "SELECT pg_create_logical_replication_slot('mine', 'pgoutput')",
        "CREATE PUBLICATION mine FOR TABLE items",
        "SET session_replication_role = replica",
        "SET ROLE hal9_owner",
    ],
)
async def test_the_app_may_not(server: PostgresServer, statement: str) -> None:
    await make(server, 1)
    await migrated(server)
    app = await as_user(server, "hal9_app_1", "hal9_app 1")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute(statement)
    await app.close()


async def test_a_rotation_has_two_accounts_at_work_and_ends_with_one(server: PostgresServer) -> None:
    await make(server, 1)
    await migrated(server)
    assert await make(server, 1, 2) == ["made hal9_app_2", "made hal9_owner_2"]
    for number in (1, 2):
        await (await as_user(server, f"hal9_app_{number}", f"hal9_app {number}")).close()
    assert await make(server, 2) == ["hal9_app_1 may no longer log in", "hal9_owner_1 may no longer log in"]
    assert await make(server, 2) == []
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await as_user(server, "hal9_app_1", "hal9_app 1")
    owner = await as_user(server, "hal9_owner_2", "hal9_owner 2")  # changes what the first one made
    await owner.execute("ALTER TABLE items ADD COLUMN spare int")
    await owner.close()


@pytest.mark.parametrize("role", [APP, OWNER])
async def test_nobody_logs_in_as_a_role_that_accounts_are_members_of(server: PostgresServer, role: str) -> None:
    await make(server, 1)
    for password in ("", role, f"{role} 1"):
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await as_user(server, role, password)


async def test_no_password_is_in_the_servers_log(server: PostgresServer) -> None:
    root = await asyncpg.connect(**server.dsn("postgres"))
    await root.execute("ALTER SYSTEM SET log_statement = 'all'")
    await root.execute("SELECT pg_reload_conf()")
    await make(server, 1)
    await root.execute("ALTER SYSTEM RESET log_statement")
    await root.execute("SELECT pg_reload_conf()")
    await root.close()
    log = (server.directory / "log").read_text()
    assert "ROLE hal9_app_1" in log
    assert "hal9_app 1" not in log


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "the secret file admin-1 cannot be read: No such file or directory"),
        ("{}", "the secret file admin-1 is not JSON with master and accounts"),
        ("not JSON: s3cret", "the secret file admin-1 is not JSON with master and accounts"),
        (
            (
                '{"master": {"username": "m", "password": "s3cret"}, "accounts": '
                '[{"username": "hal9_app_1; DROP ROLE x", "password": "s3cret", "role": "hal9_app"}]}'
            ),
            "the secret file admin-1 is not JSON with master and accounts",
        ),
    ],
    ids=["absent", "empty", "malformed", "a name that is none"],
)
def test_a_secret_that_is_none_is_said_without_its_content(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "admin-1").write_text(content)
    with pytest.raises(CredentialsError) as raised:
        administration(tmp_path, 1)
    assert str(raised.value) == said


async def test_tables_that_the_master_made_are_handed_to_the_owner(server: PostgresServer, tmp_path: Path) -> None:
    """A deployment from before the accounts: its pods are still logged in as the master, and go on."""
    for file in DIRECTORY.glob("000[1-6]_*.sql"):
        (tmp_path / file.name).write_text(file.read_text())
    old = await as_user(server, MASTER.username, MASTER.password)
    await migrate(old, tmp_path)
    await old.execute("CREATE TYPE mood AS ENUM ('calm'); CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    done = await make(server, 1)
    assert "handed table items to hal9_owner" in done
    assert await make(server, 1) == []
    await migrated(server)
    left = await old.fetch(
        "SELECT relname FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = current_user) "
        "AND relnamespace = 'public'::regnamespace"
    )
    assert left == []
    app = await as_user(server, "hal9_app_1", "hal9_app 1")
    for connection in (old, app):
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
        await connection.close()
    owner = await as_user(server, "hal9_owner_1", "hal9_owner 1")
    await owner.execute("ALTER TYPE mood ADD VALUE 'wild'")
    await owner.execute("CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'")
    await owner.close()
