"""Three shards of real PostgreSQL, each with a streaming replica in every other region, once a test process.

`postgres` are the servers, `deployment` a document over them. Each test finds the tables empty and every slot
with its first owner, so tests run in any order; a test that stops or pauses a server puts it back.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from app.databases import accounts
from app.databases.credentials import OWNER, administration
from app.databases.databases import Databases
from app.databases.sharding import ShardMap
from app.deployment import (
    DatabaseConnection,
    Deployment,
    Endpoint,
    IdentityConfig,
    KeyRange,
    PoolConfig,
    RegionConfig,
    SessionConfig,
    SessionKey,
    SessionStore,
    ShardConfig,
    ShardingConfig,
)
from app.metrics import Metrics
from app.migrate import migrate, seed_slots
from lab.servers import programs
from lab.servers.accounts import write_accounts
from lab.servers.postgres import DATABASE, PostgresServer
from lab.servers.process import work_directory
from tests.app.logs import PROCEDURE

REGIONS = ("us-west", "eu-central", "ap-south")
KEY_RANGES = ((0, 333), (334, 666), (667, 999))

MOVES_SLOTS = 16
"""The PostgreSQL that subscriptions with `origin = none` came with."""


def moves_slots() -> bool:
    """Whether the servers here can move slots; those of the system may be too old."""
    return programs.version(programs.postgres() / "postgres") >= MOVES_SLOTS


RESET = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP
        EXECUTE format('TRUNCATE %I', name);
    END LOOP;
END $$"""


def instance(region: str, server: PostgresServer) -> DatabaseConnection:
    """A server as the document names it."""
    return DatabaseConnection(region=region, endpoint=Endpoint(host=server.host, port=server.port, tls=False))


class MakeDatabases(Protocol):
    """Opens the pools of a process in a region; they are closed when the test ends."""

    async def __call__(self, document: Deployment | None = None, region: str = "us-west") -> Databases: ...


class PostgresShards:
    """The servers by shard id (1, 2, 3): `primaries`, and `replicas` by shard and region."""

    def __init__(self, directory: Path) -> None:
        self._secrets = directory / "secrets"
        self._secrets.mkdir(mode=0o700)
        self.primaries = {number: PostgresServer(directory / f"shard-{number}") for number in (1, 2, 3)}
        self.replicas = {
            number: {
                region: PostgresServer(directory / f"shard-{number}-{region}", replica_of=primary)
                for region in REGIONS
                if region != REGIONS[number - 1]
            }
            for number, primary in self.primaries.items()
        }

    def start(self) -> None:
        """Start all, shards side by side; each primary has the migrated database."""
        with ThreadPoolExecutor(3) as workers:
            list(workers.map(self._start_shard, self.primaries))

    def _start_shard(self, number: int) -> None:
        primary = self.primaries[number]
        primary.create()
        primary.start()
        write_accounts(self._secrets, number, primary.password)
        asyncio.run(_make_database(primary, self._secrets, number))
        for replica in self.replicas[number].values():
            replica.create()
            replica.start()

    def stop(self) -> None:
        """End all of them."""
        for copies in self.replicas.values():
            for replica in copies.values():
                replica.kill()
        for primary in self.primaries.values():
            primary.kill()

    def sharding(self) -> ShardingConfig:
        """The sharding section of a document over these servers."""
        return ShardingConfig(
            shards=tuple(
                ShardConfig(
                    id=number,
                    home=REGIONS[number - 1],
                    primary=instance(REGIONS[number - 1], primary),
                    replicas=tuple(instance(region, server) for region, server in self.replicas[number].items()),
                    key_ranges=(KeyRange(start=KEY_RANGES[number - 1][0], end=KEY_RANGES[number - 1][1]),),
                )
                for number, primary in self.primaries.items()
            ),
            replication_factor=3,
            database=DATABASE,
        )

    def write_secrets(self, directory: Path) -> None:
        """The secret files of these servers' accounts."""
        shutil.copytree(self._secrets, directory, dirs_exist_ok=True)


async def _make_database(primary: PostgresServer, secrets_directory: Path, number: int) -> None:
    """The database with its accounts and its tables, as a deployment has them: the app is no superuser in it."""
    connection = await asyncpg.connect(**primary.dsn("postgres"))
    await connection.execute(f"CREATE DATABASE {DATABASE}")
    await connection.close()
    wanted = administration(secrets_directory, number)
    master = await asyncpg.connect(**primary.dsn())
    await accounts.make(master, wanted, DATABASE)
    await master.close()
    owner = next(account for account in wanted.accounts if account.role == OWNER)
    connection = await asyncpg.connect(**primary.dsn() | {"user": owner.username, "password": owner.password})
    await migrate(connection)
    await connection.execute(PROCEDURE)
    await connection.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresShards]:
    """Nine real servers: a primary a shard and its replicas."""
    with work_directory("hal9-postgres-test", in_memory=True) as directory:
        servers = PostgresShards(directory)
        try:
            servers.start()
            yield servers
        finally:
            servers.stop()


@pytest_asyncio.fixture
async def deployment(postgres: PostgresShards, tmp_path: Path) -> Deployment:
    """A document as read in us-west, over empty tables, every replica caught up.

    Its Redis endpoints point nowhere; tests that need Redis replace `regions` (msgspec.structs.replace).
    """
    secrets_directory = tmp_path / "secrets"
    secrets_directory.mkdir()
    postgres.write_secrets(secrets_directory)
    (secrets_directory / "session-key-k1").write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    nowhere = Endpoint(host="127.0.0.1", port=1, tls=False)
    document = Deployment(
        region="us-west",
        regions=tuple(
            RegionConfig(name=name, cache=nowhere, sessions=SessionStore(primary=nowhere)) for name in REGIONS
        ),
        sharding=postgres.sharding(),
        pools=PoolConfig(primary_size=8, replica_size=8),
        sessions=SessionConfig(keyring=(SessionKey(id="k1", state="active"),)),
        identity=IdentityConfig(
            issuer="https://issuer.test", audience="hal9", service_audience="hal9-service", jwks=os.devnull
        ),
        secrets_directory=str(secrets_directory),
    )
    await asyncio.gather(*(_reset(document, postgres, shard.id) for shard in document.sharding.shards))
    return document


async def _reset(document: Deployment, postgres: PostgresShards, number: int) -> None:
    connection = await asyncpg.connect(**postgres.primaries[number].dsn())
    await connection.execute(RESET)
    await seed_slots(connection, ShardMap(document.sharding).slots_of(number), document.sharding.epoch)
    await connection.close()
    for replica in postgres.replicas[number].values():
        await caught_up(postgres.primaries[number], replica)


@pytest_asyncio.fixture
async def make_databases(deployment: Deployment) -> AsyncIterator[MakeDatabases]:
    """`await make_databases(region="eu-central")`: the pools of a process in that region, closed at the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(document: Deployment | None = None, region: str = "us-west") -> Databases:
            document = msgspec.structs.replace(document or deployment, region=region)
            return await stack.enter_async_context(Databases(document, Metrics()))

        yield make


@pytest_asyncio.fixture
async def databases(make_databases: MakeDatabases) -> Databases:
    """The pools of a process in us-west."""
    return await make_databases()


async def caught_up(primary: PostgresServer, replica: PostgresServer) -> None:
    """Wait until `replica` has replayed all that `primary` has written."""
    source = await asyncpg.connect(**primary.dsn("postgres"))
    copy = await asyncpg.connect(**replica.dsn("postgres"))
    try:
        target = await source.fetchval("SELECT pg_current_wal_lsn()")
        while not await copy.fetchval("SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", target):
            await asyncio.sleep(0.01)
    finally:
        await source.close()
        await copy.close()
