"""A query routed to its user's shard against bare asyncpg: the same statement on the same server.

`Reads.fetch_owned` finds the shard, picks the instance, checks the floor, bounds the time, takes a connection and looks
whether it was the slot's owner that answered.
The peers are asyncpg's own pool, as its documentation shows it, and, harder, one connection that is never returned.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from app.databases.databases import Databases
from app.databases.sharding import slot_of
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
from app.items import GET, ItemRepository
from app.metrics import Metrics
from app.migrate import migrate_shard
from app.users import UserRepository
from bench.app import Measured, Measurement, interleaved
from lab.servers.accounts import write_accounts
from lab.servers.postgres import DATABASE, PostgresServer
from lab.servers.process import work_directory

QUERIES = 300


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[tuple[Deployment, PostgresServer]]:
    with work_directory("hal9-bench", in_memory=True) as directory:
        server = PostgresServer(directory / "server")
        server.create()
        server.start()
        try:
            connection = await asyncpg.connect(**server.dsn("postgres"))
            await connection.execute(f"CREATE DATABASE {DATABASE}")
            await connection.close()
            deployment = _deployment(server, directory)
            await migrate_shard(deployment, deployment.sharding.shards[0])
            yield deployment, server
        finally:
            server.stop()


def _deployment(server: PostgresServer, directory: Path) -> Deployment:
    write_accounts(directory, 1, server.password)
    (directory / "session-key-k").write_text(base64.b64encode(bytes(32)).decode())
    nowhere = Endpoint(host="127.0.0.1", port=1, tls=False)
    primary = DatabaseConnection(region="here", endpoint=Endpoint(host=server.host, port=server.port, tls=False))
    shard = ShardConfig(id=1, home="here", primary=primary, replicas=(), key_ranges=(KeyRange(start=0, end=999),))
    return Deployment(
        region="here",
        regions=(RegionConfig(name="here", cache=nowhere, sessions=SessionStore(primary=nowhere)),),
        sharding=ShardingConfig(shards=(shard,), replication_factor=1, database=DATABASE),
        pools=PoolConfig(primary_size=4, replica_size=4),
        sessions=SessionConfig(keyring=(SessionKey(id="k", state="active"),)),
        identity=IdentityConfig(issuer="i", audience="a", service_audience="s", jwks="/dev/null"),
        secrets_directory=str(directory),
    )


def _turn(query: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[float]]:
    async def turn() -> float:
        began = time.perf_counter()
        for _ in range(QUERIES):
            await query()
        return (time.perf_counter() - began) / QUERIES

    return turn


async def _measure(peer: str) -> Measured:
    async with _server() as (deployment, server), Databases(deployment, Metrics()) as databases:
        user, _ = await UserRepository(databases).register("here")
        written = await ItemRepository(databases).put(user.id, "key", b"x" * 200)
        slot, floor = slot_of(user.id), written.floor

        async def routed() -> Any:
            return await databases.reads.fetch_owned(user.id, GET, user.id, "key", floor=floor)

        if peer == "pool":
            async with asyncpg.create_pool(**server.dsn(), min_size=4, max_size=4) as pool:
                return await interleaved(_turn(routed), _turn(lambda: pool.fetch(GET, slot, user.id, "key")), "speed")
        connection = await asyncpg.connect(**server.dsn())
        try:
            bare = _turn(lambda: connection.fetch(GET, slot, user.id, "key"))
            return await interleaved(_turn(routed), bare, "speed")
        finally:
            await connection.close()


async def against_pool() -> Measured:
    """Against `asyncpg.create_pool(...).fetch`."""
    return await _measure("pool")


async def against_connection() -> Measured:
    """Against `fetch` of one connection."""
    return await _measure("connection")


MEASUREMENTS = [
    Measurement("routed query", "pool.fetch", "at least", 0.95, against_pool, "asyncpg"),
    Measurement("routed query, bare line", "connection.fetch", "at least", 0.95, against_connection, "asyncpg"),
]
