"""A failover of either side in the middle of a move: nothing that was acknowledged is lost, and the move can go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from app.databases.databases import Databases
from app.deployment import Deployment
from app.reshard.journal import Step
from lab.servers.process import work_directory
from tests.app.fixtures_postgres import MakeDatabases, PostgresShards
from tests.app.reshard.helpers import putters, sql
from tests.app.reshard.killed import SOURCE, TARGET
from tests.app.reshard.test_nothing_lost import ended, stopped

pytestmark = [pytest.mark.reshard, pytest.mark.timeout(300)]


@pytest.fixture
def postgres() -> Iterator[PostgresShards]:
    """Servers of this test alone: it kills one for good."""
    with work_directory("hal9-postgres-failover", in_memory=True) as directory:
        servers = PostgresShards(directory)
        try:
            servers.start()
            yield servers
        finally:
            servers.stop()


@pytest.mark.parametrize("point", ["begin: compare", "end: open the way back", "begin: switch"])
async def test_a_target_that_failed_over_is_copied_anew(
    point: str, deployment: Deployment, postgres: PostgresShards, databases: Databases, make_databases: MakeDatabases
) -> None:
    """The promoted target resumes from an older position than the source's slot has confirmed: a gap without a word."""
    writers = await putters(databases)
    old, promoted = postgres.primaries[TARGET], postgres.replicas[TARGET]["us-west"]
    async with writers:
        await writers.more()
        await stopped(deployment, point)
        promoted.kill()  # it falls behind
        await writers.more(60)
        position = (await sql(postgres.primaries[SOURCE], "SELECT pg_current_wal_lsn()::text AS at"))[0]["at"]
        confirmed = (
            f"SELECT min(confirmed_flush_lsn) >= '{position}'::pg_lsn AS all FROM pg_replication_slots "
            "WHERE slot_name LIKE 'hal9_move%out'"
        )
        async with asyncio.timeout(30):
            while not (await sql(postgres.primaries[SOURCE], confirmed))[0]["all"]:
                await asyncio.sleep(0.1)
        old.kill()
        promoted.start()
        promoted.promote()
        await writers.more()
    document = promoted_document(deployment, TARGET, "us-west")
    await sql(promoted, "SELECT open_primary()")
    record = await ended(document)
    assert record.step is Step.FINISHED
    assert record.facts["copied anew"] == 1
    assert await writers.lost(await make_databases(document)) == []


def promoted_document(deployment: Deployment, shard: int, region: str) -> Deployment:
    """The document after an operator wrote down that the replica in `region` is the primary."""
    shards = list(deployment.sharding.shards)
    before = shards[shard - 1]
    (primary,) = (replica for replica in before.replicas if replica.region == region)
    shards[shard - 1] = msgspec.structs.replace(before, primary=primary, replicas=())
    return msgspec.structs.replace(
        deployment, sharding=msgspec.structs.replace(deployment.sharding, shards=tuple(shards))
    )
