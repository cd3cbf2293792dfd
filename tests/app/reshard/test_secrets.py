"""Nothing that opens a database reaches a log, and what a move leaves opens nothing."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.databases.credentials import shard_credentials
from app.deployment import Deployment
from app.reshard import replication
from app.reshard.move import Mover
from app.reshard.start import begin, sides, unfinished
from lab.servers.postgres import PostgresServer
from tests.app.fixtures_postgres import PostgresShards
from tests.app.reshard.helpers import FREE, log_of, sql
from tests.app.reshard.killed import SLOTS, SOURCE, TARGET

pytestmark = pytest.mark.reshard

PROJECT = {
    "log_statement": "ddl",
    "log_min_duration_statement": "0",
    "log_min_error_statement": "error",
    "log_parameter_max_length": "0",
    "log_duration": "on",
}
"""The parameter group's settings that decide what is logged; a statement of any length stands for a slow one."""


@pytest.fixture(autouse=True)
async def no_leftovers(deployment: Deployment) -> AsyncIterator[None]:
    yield
    for record in await unfinished(deployment):
        async with sides(deployment, record.source, record.target) as (source, target):
            await Mover(deployment, source, target, record).close()


@pytest.fixture(params=[False, True], ids=["as set", "and each parameter"])
async def logging_much(request: pytest.FixtureRequest, postgres: PostgresShards) -> AsyncIterator[bool]:
    servers = [postgres.primaries[SOURCE], postgres.primaries[TARGET]]
    settings = PROJECT | ({"log_parameter_max_length": "-1"} if request.param else {})
    for server in servers:
        await sql(server, *(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()))
        await sql(server, "SELECT pg_reload_conf()")
    yield request.param
    for server in servers:
        await sql(server, *(f"ALTER SYSTEM RESET {name}" for name in settings), "SELECT pg_reload_conf()")


_PASSWORD = re.compile(r"password=[\\']*([\w+/=-]+)")


def passwords(server: PostgresServer) -> set[str]:
    """Every password of a connection string that a server's log shows."""
    return set(_PASSWORD.findall(log_of(server)))


async def test_no_log_shows_a_password_that_opens_a_database(
    logging_much: bool, deployment: Deployment, postgres: PostgresShards
) -> None:
    servers = [postgres.primaries[SOURCE], postgres.primaries[TARGET]]
    in_use: set[str] = set()

    async def look(text: str) -> None:
        if text in {"begin: compare", "begin: switch", "begin: compare back"}:
            for server in servers:
                for row in await sql(server, "SELECT subconninfo FROM pg_subscription"):
                    in_use.update(_PASSWORD.findall(row["subconninfo"]))

    async with sides(deployment, SOURCE, TARGET) as (source, target):
        mover = await begin(deployment, source, target, SLOTS, FREE, look)
        await mover.run()
        await mover.reverse()
    shown = set.union(*map(passwords, servers))
    assert len(in_use) == 2
    if not logging_much:
        assert not in_use & shown
    for number in (SOURCE, TARGET):
        assert shard_credentials(deployment.secrets_directory, number).password not in shown | in_use
        roles = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'hal9_move%'"
        assert await sql(postgres.primaries[number], roles) == []


async def test_a_source_that_cannot_be_reached_is_told_without_the_password(
    logging_much: bool, deployment: Deployment, postgres: PostgresShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = replication.conninfo
    monkeypatch.setattr(replication, "conninfo", lambda *a: re.sub(r"port='\d+'", "port='1'", real(*a)))
    before = passwords(postgres.primaries[TARGET])
    async with sides(deployment, SOURCE, TARGET) as (source, target):
        with pytest.raises(Exception, match="cannot reach") as caught:
            await begin(deployment, source, target, SLOTS, FREE)
    assert "password=" not in str(caught.value)
    assert Path(deployment.secrets_directory).exists()
    if not logging_much:
        assert passwords(postgres.primaries[TARGET]) == before
    assert await unfinished(deployment) == []
