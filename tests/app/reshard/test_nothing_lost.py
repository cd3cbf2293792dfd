"""What a move survives without losing an acknowledged write: failovers, backfills, purges, and its own leftovers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.databases.databases import Databases
from app.databases.upkeep import PURGE
from app.deployment import Deployment
from app.reshard import journal
from app.reshard.journal import Step
from app.reshard.move import MoveError, Mover
from app.reshard.start import begin, sides, unfinished
from tests.app.fixtures_postgres import PostgresShards
from tests.app.reshard.helpers import FREE, Stop, putters, sql, stop_at
from tests.app.reshard.killed import SLOTS, SOURCE, TARGET

pytestmark = pytest.mark.reshard


@pytest.fixture(autouse=True)
async def no_leftovers(deployment: Deployment) -> AsyncIterator[None]:
    """End what a failed test left, so that the next one starts clean."""
    yield
    for record in await unfinished(deployment):
        async with sides(deployment, record.source, record.target) as (source, target):
            await Mover(deployment, source, target, record).close()


async def stopped(deployment: Deployment, point: str) -> None:
    """A move that a person stopped, or that died, at a point."""
    async with sides(deployment, SOURCE, TARGET) as (source, target):
        mover = await begin(deployment, source, target, SLOTS, FREE, stop_at(point))
        with pytest.raises(Stop):
            await mover.run()


async def ended(deployment: Deployment) -> journal.Record:
    """Run the one unfinished move to its switch and close it."""
    (record,) = await unfinished(deployment)
    async with sides(deployment, record.source, record.target) as (source, target):
        mover = Mover(deployment, source, target, record)
        await mover.run()
        return await mover.finish()


@pytest.mark.parametrize("table", ["users", "items", "idempotency_keys"])
@pytest.mark.parametrize("side", [SOURCE, TARGET])
async def test_a_row_of_a_slot_that_is_not_owned_here_is_written_by_nobody(
    table: str, side: int, deployment: Deployment, postgres: PostgresShards, databases: Databases
) -> None:
    writers = await putters(databases, moved=1, other=0)
    (user,) = writers.users
    async with writers:
        await writers.more(5)
    await sql(
        postgres.primaries[SOURCE],
        "INSERT INTO idempotency_keys (slot, user_id, key, request, expires_at) "
        f"SELECT slot, user_id, 'k', '', now() + interval '1 hour' FROM users WHERE user_id = '{user}'",
    )
    await stopped(deployment, "begin: switch")
    change = f"UPDATE {table} SET user_id = user_id WHERE user_id = '{user}'"
    remove = f"DELETE FROM {table} WHERE user_id = '{user}'"
    if side == SOURCE:
        await sql(postgres.primaries[SOURCE], change)
    else:
        for statement in (change, remove):
            with pytest.raises(asyncpg.PostgresError) as caught:
                await sql(postgres.primaries[TARGET], statement)
            assert caught.value.sqlstate == "U9001"
    assert (await ended(deployment)).step is Step.FINISHED
    # The source has no rows of them any more, and takes none.
    with pytest.raises(asyncpg.PostgresError) as caught:
        await sql(
            postgres.primaries[SOURCE],
            f"INSERT INTO users (slot, user_id, region) VALUES ({SLOTS[0]}, '{user}', 'us-west')",
        )
    assert caught.value.sqlstate == "U9001"


async def test_a_backfill_on_both_shards_overwrites_no_write_of_a_user(
    deployment: Deployment, postgres: PostgresShards, databases: Databases
) -> None:
    writers = await putters(databases)
    refused = 0

    async def backfill(number: int) -> int:
        failed = 0
        for _ in range(10):
            for user in writers.users[:4]:
                try:
                    change = f"UPDATE items SET content_type = content_type WHERE user_id = '{user}'"
                    await sql(postgres.primaries[number], change)
                except asyncpg.PostgresError as error:
                    failed += error.sqlstate == "U9001"
        return failed

    async with writers:
        await writers.more()
        await stopped(deployment, "begin: switch")
        _, refused = await asyncio.gather(backfill(SOURCE), backfill(TARGET))
        await writers.more()
    assert refused == 40
    assert await writers.lost(databases) == []
    assert (await ended(deployment)).step is Step.FINISHED
    assert await writers.lost(databases) == []


async def test_a_purge_in_flight_across_the_fence_leaves_both_sides_alike(
    deployment: Deployment, postgres: PostgresShards
) -> None:
    source = postgres.primaries[SOURCE]
    await sql(
        source,
        "INSERT INTO idempotency_keys SELECT 300 + g % 34, gen_random_uuid(), 'k' || g, 'x', 'y', "
        "now() - interval '1 hour' FROM generate_series(1, 100000) g",
        "ANALYZE idempotency_keys",
    )
    stop = asyncio.Event()
    purged = 0

    async def purge() -> None:
        nonlocal purged
        connection = await asyncpg.connect(**source.dsn())
        while not stop.is_set():
            purged += int((await connection.execute(PURGE, 5000)).split()[-1])
        await connection.close()

    tasks: list[asyncio.Task[None]] = []

    async def tell(text: str) -> None:
        if text == "begin: compare" and not tasks:
            tasks.append(asyncio.create_task(purge()))
            await asyncio.sleep(0.2)

    async with sides(deployment, SOURCE, TARGET) as (one, other):
        mover = await begin(deployment, one, other, SLOTS, FREE, tell)
        try:
            await mover.run()
        finally:
            stop.set()
            await asyncio.gather(*tasks)
        assert purged > 0
        assert (await mover.finish()).step is Step.FINISHED


async def test_a_reader_that_ends_first_is_not_ended_for_idling(
    deployment: Deployment, postgres: PostgresShards
) -> None:
    """`idle_in_transaction_session_timeout` is 60 s in production; the other reader may take longer."""
    both = [postgres.primaries[SOURCE], postgres.primaries[TARGET]]
    for server in both:
        await sql(server, "ALTER SYSTEM SET idle_in_transaction_session_timeout = '500ms'", "SELECT pg_reload_conf()")
    lock = await asyncpg.connect(**postgres.primaries[TARGET].dsn())
    await lock.execute("SET idle_in_transaction_session_timeout = 0")
    slow: list[asyncio.Task[None]] = []

    async def hold() -> None:
        await lock.execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(2)
        await lock.execute("ROLLBACK")

    async def tell(text: str) -> None:
        if text == "snapshots before" and not slow:
            slow.append(asyncio.create_task(hold()))
            await asyncio.sleep(0.1)

    try:
        async with sides(deployment, SOURCE, TARGET) as (one, other):
            mover = await begin(deployment, one, other, SLOTS, FREE, tell)
            await mover.run()
            await mover.finish()
    finally:
        await asyncio.gather(*slow)
        await lock.close()
        for server in both:
            await sql(server, "ALTER SYSTEM RESET idle_in_transaction_session_timeout", "SELECT pg_reload_conf()")


async def spoiled(deployment: Deployment, postgres: PostgresShards) -> None:
    """A move at `compare back` whose old owner's copy was spoiled behind everybody's back."""

    async def spoil(text: str) -> None:
        if text == "end: close the way out":
            await sql(
                postgres.primaries[SOURCE],
                "SET session_replication_role = replica",
                "DELETE FROM users WHERE slot BETWEEN 300 AND 333",
            )

    async with sides(deployment, SOURCE, TARGET) as (one, other):
        mover = await begin(deployment, one, other, SLOTS, FREE, spoil)
        with pytest.raises(MoveError, match="differ") as caught:
            await mover.run()
    assert "users" in str(caught.value)
    assert "repair" in str(caught.value)


async def test_a_difference_after_the_switch_is_repaired_and_the_slots_can_return(
    deployment: Deployment, postgres: PostgresShards, databases: Databases
) -> None:
    writers = await putters(databases)
    async with writers:
        await writers.more()
        await spoiled(deployment, postgres)
        (record,) = await unfinished(deployment)
        async with sides(deployment, SOURCE, TARGET) as (one, other):
            mover = Mover(deployment, one, other, record)
            with pytest.raises(MoveError, match="compare back"):
                await mover.reverse()
            assert (await mover.repair()).step is Step.SWITCHED
            await writers.more()
            assert (await mover.reverse()).step is Step.REVERSED
        await writers.more()
    assert await writers.lost(databases) == []


async def test_a_difference_after_the_switch_can_be_accepted(
    deployment: Deployment, postgres: PostgresShards, databases: Databases
) -> None:
    await putters(databases)
    await spoiled(deployment, postgres)
    (record,) = await unfinished(deployment)
    async with sides(deployment, SOURCE, TARGET) as (one, other):
        mover = Mover(deployment, one, other, record)
        with pytest.raises(MoveError, match="--accept"):
            await mover.finish()
        assert (await mover.finish(accept=True)).step is Step.FINISHED


async def test_schemas_that_differ_stop_a_move_before_its_switch(
    deployment: Deployment, postgres: PostgresShards
) -> None:
    source, target = postgres.primaries[SOURCE], postgres.primaries[TARGET]
    await stopped(deployment, "begin: switch")
    await sql(source, "ALTER TABLE items ADD COLUMN extra int")
    try:
        with pytest.raises(MoveError, match="columns of the two shards differ"):
            await ended(deployment)
        await sql(target, "ALTER TABLE items ADD COLUMN extra int")
        assert (await ended(deployment)).step is Step.FINISHED
    finally:
        for server in (source, target):
            await sql(server, "ALTER TABLE items DROP COLUMN IF EXISTS extra")
