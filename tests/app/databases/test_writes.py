from __future__ import annotations

import asyncio
import time
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app.databases.databases import CommitUnknown, Databases, DatabaseUnavailable, KeyReused, SlotFenced, WrongEpoch
from app.deadlines import deadline
from app.deployment import Deployment
from app.items import ItemRepository
from app.users import UserRepository
from tests.app.cut_proxy import CutProxy
from tests.app.fixtures_postgres import PostgresShards

ADD = "UPDATE counters SET n = n + 1 WHERE id = 1"


@pytest.fixture
async def user(databases: Databases) -> UUID:
    registered, _ = await UserRepository(databases).register("us-west")
    return registered.id


def behind(deployment: Deployment, proxy: CutProxy) -> Deployment:
    """The document with shard 1's primary reached through `proxy`."""
    first, *others = deployment.sharding.shards
    endpoint = msgspec.structs.replace(first.primary.endpoint, port=proxy.port)
    first = msgspec.structs.replace(first, primary=msgspec.structs.replace(first.primary, endpoint=endpoint))
    sharding = msgspec.structs.replace(deployment.sharding, shards=(first, *others))
    return msgspec.structs.replace(deployment, sharding=sharding)


@pytest.fixture
async def cut(deployment: Deployment, postgres, make_databases):
    """A proxy before shard 1's primary and the databases of a process that goes through it."""
    async with CutProxy(postgres.primaries[1].port) as proxy:
        yield proxy, await make_databases(behind(deployment, proxy))


@pytest.fixture
async def counter(databases: Databases, user: UUID, postgres):
    connection = await asyncpg.connect(**postgres.primaries[1].dsn())
    await connection.execute("CREATE TABLE counters (id int PRIMARY KEY, n int); INSERT INTO counters VALUES (1, 0)")
    await connection.execute("GRANT ALL ON counters TO hal9_app")
    await connection.close()

    async def value() -> int:
        async with databases.writes.write(user) as transaction:
            return await transaction.fetchval("SELECT n FROM counters")

    yield value
    # Gone again: resharding refuses shards whose tables differ.
    connection = await asyncpg.connect(**postgres.primaries[1].dsn())
    await connection.execute("DROP TABLE counters")
    await connection.close()


async def test_a_block_that_raises_leaves_nothing(databases: Databases, user: UUID, counter) -> None:
    async def body() -> None:
        async with databases.writes.write(user) as transaction:
            await transaction.execute(ADD)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await body()
    assert await counter() == 0


async def test_a_commit_gives_a_floor_at_or_past_it(databases: Databases, user: UUID) -> None:
    async with databases.writes.write(user) as transaction:
        before = await transaction.fetchval("SELECT pg_current_wal_lsn()")
        await transaction.execute("UPDATE users SET region = region")
    assert transaction.floor is not None
    assert transaction.floor.lsn > before
    assert transaction.floor[:2] == (1, 1)


@pytest.mark.parametrize("heard", [True, False], ids=["the server committed", "the server never heard of it"])
async def test_a_commit_whose_connection_died_is_applied_once(cut, user: UUID, counter, heard: bool) -> None:
    proxy, databases = cut
    runs = 0

    async def body(transaction) -> bytes:
        nonlocal runs
        runs += 1
        await transaction.execute(ADD)
        return b"done %d" % runs

    proxy.arm(b"COMMIT", heard)
    result, floor = await databases.writes.transact(user, "key-1", b"request", body)
    assert (proxy.cuts, await counter()) == (1, 1)
    assert (result, runs) == ((b"done 1", 1) if heard else (b"done 2", 2))
    assert floor.shard == 1


@pytest.mark.parametrize("heard", [True, False], ids=["the server committed", "the server never heard of it"])
async def test_without_a_key_a_lost_commit_is_told_as_unknown(cut, user: UUID, counter, heard: bool) -> None:
    proxy, databases = cut
    proxy.arm(b"COMMIT", heard)
    with pytest.raises(CommitUnknown):
        async with databases.writes.write(user) as transaction:
            await transaction.execute(ADD)
    await asyncio.sleep(0.05)
    assert await counter() == int(heard)


@pytest.mark.parametrize("heard", [True, False], ids=["the server committed", "the server never heard of it"])
async def test_an_item_put_whose_connection_died_is_applied_once(
    cut, databases: Databases, user: UUID, heard: bool
) -> None:
    proxy, through = cut
    items = ItemRepository(through)
    first = await items.put(user, "a", b"1")  # so that the statement is prepared, and the next is only executed
    proxy.arm(b"the-marker", heard)
    second = await items.put(user, "a", b"the-marker", expected=[first.version])
    assert proxy.cuts == 1
    assert second.replayed == heard
    item = await ItemRepository(databases).get(user, "a", second.floor)
    assert item is not None
    assert (item.value, item.version) == (b"the-marker", second.version)


async def test_connections_that_went_stale_are_replaced_without_the_writer_knowing(cut, user: UUID, counter) -> None:
    proxy, databases = cut
    async with databases.writes.write(user) as one, databases.writes.write(user) as other:
        await one.fetchval("SELECT 1")
        await other.fetchval("SELECT 1")
    proxy.arm(b"BEGIN", heard=False, times=2)
    async with databases.writes.write(user) as transaction:
        await transaction.execute(ADD)
    assert (proxy.cuts, await counter()) == (2, 1)


async def test_a_key_used_again_gives_the_first_answer_and_runs_nothing(
    databases: Databases, user: UUID, counter
) -> None:
    async def body(transaction) -> bytes:
        await transaction.execute(ADD)
        return b"first"

    async def never(_) -> bytes:
        raise AssertionError

    await databases.writes.transact(user, "k", b"r", body)
    result, _ = await databases.writes.transact(user, "k", b"r", never)
    assert (result, await counter()) == (b"first", 1)


async def test_a_key_used_for_another_request_is_refused(databases: Databases, user: UUID) -> None:
    async def body(_) -> bytes:
        return b""

    await databases.writes.transact(user, "k", b"one", body)
    with pytest.raises(KeyReused):
        await databases.writes.transact(user, "k", b"two", body)


async def test_the_same_key_at_once_from_many_is_applied_once(databases: Databases, user: UUID, counter) -> None:
    async def body(transaction) -> bytes:
        await transaction.execute(ADD)
        return b"one"

    results = await asyncio.gather(*(databases.writes.transact(user, "k", b"r", body) for _ in range(8)))
    assert {result for result, _ in results} == {b"one"}
    assert await counter() == 1


async def set_slots(postgres: PostgresShards, shard: int, state: str, epoch: int) -> None:
    connection = await asyncpg.connect(**postgres.primaries[shard].dsn())
    await connection.execute(
        "INSERT INTO slots (slot, epoch, state) SELECT generate_series(0, 333), $2, $1 "
        "ON CONFLICT (slot) DO UPDATE SET state = $1, epoch = $2",
        state, epoch,
    )  # fmt: skip
    await connection.close()


async def test_an_old_map_is_refreshed_and_the_write_goes_to_the_new_owner(
    databases: Databases, postgres, user
) -> None:
    await set_slots(postgres, 2, "owned", 2)
    await set_slots(postgres, 1, "moved", 2)
    assert databases.shards.map.get_shard_for_user(user) == 1
    async with databases.writes.write(user) as transaction:
        assert (transaction.shard_id, transaction.epoch) == (2, 2)
    assert databases.shards.map.get_shard_for_user(user) == 2


async def test_a_slot_nobody_owns_is_refused_after_one_refresh(databases: Databases, postgres, user) -> None:
    await set_slots(postgres, 1, "moved", 2)
    with pytest.raises(WrongEpoch):
        async with databases.writes.write(user):
            pass


async def test_a_writer_waits_while_its_slot_is_fenced(databases: Databases, postgres, user) -> None:
    await set_slots(postgres, 1, "fenced", 1)

    async def lift() -> None:
        await asyncio.sleep(0.2)
        await set_slots(postgres, 1, "owned", 1)

    lifting = asyncio.create_task(lift())
    began = time.monotonic()
    async with databases.writes.write(user):
        pass
    assert time.monotonic() - began > 0.15
    await lifting


async def test_a_slot_fenced_for_too_long_is_told_as_such(databases: Databases, postgres, user) -> None:
    await set_slots(postgres, 1, "fenced", 1)
    with pytest.raises(SlotFenced):
        async with databases.writes.write(user, timeout=0.2):
            pass


async def test_a_write_waits_no_longer_than_its_request_lives(databases: Databases, postgres, user) -> None:
    await set_slots(postgres, 1, "fenced", 1)
    began = time.monotonic()
    with deadline(0.2), pytest.raises(SlotFenced):
        async with databases.writes.write(user, timeout=30):
            pass
    assert time.monotonic() - began < 1


async def test_a_fence_waits_for_the_writer_in_flight(databases: Databases, postgres, user) -> None:
    async with databases.writes.write(user):
        fencing = asyncio.create_task(set_slots(postgres, 1, "fenced", 1))
        await asyncio.sleep(0.1)
        assert not fencing.done()
    await asyncio.wait_for(fencing, 5)


async def test_a_cancelled_write_leaves_nothing_and_gives_its_connection_back(
    databases: Databases, user, counter
) -> None:
    async def write() -> None:
        async with databases.writes.write(user) as transaction:
            await transaction.execute(ADD)
            await asyncio.sleep(30)

    task = asyncio.create_task(write())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await counter() == 0
    assert databases.shards.pools[1].primary_pool.active == 0


async def test_a_write_that_takes_too_long_is_rolled_back(databases: Databases, user, counter) -> None:
    async def body() -> None:
        async with databases.writes.write(user, timeout=0.2) as transaction:
            await transaction.execute(ADD)
            await transaction.execute("SELECT pg_sleep(10)")

    with pytest.raises(DatabaseUnavailable):
        await body()
    assert await counter() == 0
    assert databases.shards.pools[1].primary_pool.active == 0


async def test_a_statement_past_its_time_out_is_ended_by_the_server(deployment, make_databases, user) -> None:
    pools = msgspec.structs.replace(deployment.pools, statement_timeout_seconds=0.1)
    databases = await make_databases(msgspec.structs.replace(deployment, pools=pools))
    began = time.monotonic()
    with pytest.raises(asyncpg.QueryCanceledError):
        async with databases.writes.write(user) as transaction:
            await transaction.execute("SELECT pg_sleep(10)")
    assert time.monotonic() - began < 2


async def test_expired_keys_are_purged_and_fresh_ones_kept(databases: Databases, user) -> None:
    async def body(_) -> bytes:
        return b""

    await databases.writes.transact(user, "old", b"r", body)
    await databases.writes.transact(user, "new", b"r", body)
    async with databases.writes.write(user) as transaction:
        await transaction.execute("UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE key = 'old'")
    assert await databases.upkeep.purge() == 1
    async with databases.writes.write(user) as transaction:
        assert [row["key"] for row in await transaction.fetch("SELECT key FROM idempotency_keys")] == ["new"]
