from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app.databases.databases import CommitUnknown, Databases, KeyReused, SlotFenced, WrongEpoch
from app.deadlines import deadline
from app.deployment import Deployment
from app.items import ItemRepository, NoSuchUser, PreconditionFailed
from app.users import UserRepository
from lab.servers.postgres import PostgresServer
from tests.app.cut_proxy import CutProxy
from tests.app.fixtures_postgres import MakeDatabases, PostgresShards
from tests.app.logs import append, ask, log, stored_log, writing

HEARD = pytest.mark.parametrize("heard", [True, False], ids=["the server committed", "the server never heard of it"])

Cut = tuple[CutProxy, Databases]
"""A proxy before shard 1's primary, and the databases of a process that goes through it."""


@pytest.fixture
async def user(databases: Databases) -> UUID:
    """A user of shard 1, at home in us-west."""
    registered, _ = await UserRepository(databases).register("us-west")
    return registered.id


@pytest.fixture
def primary(postgres: PostgresShards) -> PostgresServer:
    """Shard 1's."""
    return postgres.primaries[1]


def behind(deployment: Deployment, proxy: CutProxy) -> Deployment:
    """The document with shard 1's primary reached through `proxy`."""
    first, *others = deployment.sharding.shards
    endpoint = msgspec.structs.replace(first.primary.endpoint, port=proxy.port)
    first = msgspec.structs.replace(first, primary=msgspec.structs.replace(first.primary, endpoint=endpoint))
    sharding = msgspec.structs.replace(deployment.sharding, shards=(first, *others))
    return msgspec.structs.replace(deployment, sharding=sharding)


@pytest.fixture
async def cut(deployment: Deployment, primary: PostgresServer, make_databases: MakeDatabases) -> AsyncIterator[Cut]:
    async with CutProxy(primary.port) as proxy:
        yield proxy, await make_databases(behind(deployment, proxy))


async def sql(server: PostgresServer, query: str, *arguments: object) -> list[asyncpg.Record]:
    """Run a statement as the server's administrator; its rows."""
    connection = await asyncpg.connect(**server.dsn())
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        return rows
    finally:
        await connection.close()


def unknown(databases: Databases) -> float:
    """How many commits of shard 1 had no answer."""
    count = databases.shards.metrics.registry.get_sample_value("hal9_db_commits_unknown_total", {"shard": "1"})
    return count or 0


async def test_a_procedure_that_raises_leaves_nothing(
    databases: Databases, user: UUID, primary: PostgresServer
) -> None:
    await append(databases, user, "one")
    before = await sql(primary, "SELECT * FROM idempotency_keys")
    with pytest.raises(PreconditionFailed):
        await ItemRepository(databases).put(user, "log", b"", expected=[7], idempotency_key="k")
    with pytest.raises(asyncpg.RaiseError):
        await append(databases, user, "refused")
    assert await stored_log(primary, user) == ["one"]
    assert await sql(primary, "SELECT * FROM idempotency_keys") == before
    assert databases.shards.pools[1].primary_pool.active == 0


async def test_a_commit_gives_a_floor_at_or_past_it(databases: Databases, user: UUID, primary: PostgresServer) -> None:
    before = (await sql(primary, "SELECT pg_current_wal_lsn() AS lsn"))[0]["lsn"]
    floor = (await append(databases, user, "one")).floor
    assert floor.lsn > before
    assert floor[:2] == (1, 1)
    assert await log(databases, user, floor) == ["one"]


@HEARD
async def test_a_commit_whose_connection_died_is_applied_once(
    cut: Cut, user: UUID, primary: PostgresServer, heard: bool
) -> None:
    proxy, databases = cut
    proxy.arm(b"the-word", heard)
    call = await append(databases, user, "the-word")
    assert (proxy.cuts, await stored_log(primary, user)) == (1, ["the-word"])
    assert (call.row["outcome"], call.row["replayed"], call.floor.shard) == (b"the-word", heard, 1)
    assert unknown(databases) == 1


@HEARD
async def test_a_commit_that_nobody_confirms_is_told_as_unknown_and_applied_once_at_most(
    cut: Cut, user: UUID, primary: PostgresServer, heard: bool
) -> None:
    proxy, databases = cut
    proxy.arm(b"the-word", heard, times=10**6)
    began = time.monotonic()
    with pytest.raises(CommitUnknown):
        await append(databases, user, "the-word", timeout=0.5)
    assert time.monotonic() - began < 1
    assert proxy.cuts > 1
    await asyncio.sleep(0.05)
    assert await stored_log(primary, user) == (["the-word"] if heard else [])


async def test_a_lost_commit_is_unknown_though_the_last_attempt_did_nothing(
    cut: Cut, user: UUID, postgres: PostgresShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.databases.writes.RETRY_WAITS", (0.3, 0.3))  # time for the fence to close in between
    proxy, databases = cut
    proxy.arm(b"the-word", heard=True)
    appending = asyncio.create_task(append(databases, user, "the-word", timeout=1))
    while not proxy.cuts:
        await asyncio.sleep(0.005)
    await set_slots(postgres, 1, "fenced", 1)
    with pytest.raises(CommitUnknown, match="an earlier attempt may have committed"):
        await appending
    assert await stored_log(postgres.primaries[1], user) == ["the-word"]


@HEARD
async def test_an_item_put_whose_connection_died_is_applied_once(
    cut: Cut, databases: Databases, user: UUID, heard: bool
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


@HEARD
async def test_an_item_delete_whose_connection_died_tells_what_the_first_found(
    cut: Cut, user: UUID, heard: bool
) -> None:
    proxy, databases = cut
    items = ItemRepository(databases)
    await items.put(user, "the-marker", b"1")
    proxy.arm(b"the-marker", heard)
    outcome = await items.delete(user, "the-marker")
    assert (proxy.cuts, outcome.deleted, outcome.replayed) == (1, True, heard)


@HEARD
async def test_a_registration_whose_connection_died_is_applied_once(
    cut: Cut, primary: PostgresServer, heard: bool
) -> None:
    proxy, databases = cut
    new = databases.shards.map.new_user_id("us-west")
    proxy.arm(new.bytes, heard)
    registered, floor = await UserRepository(databases).register("us-west", new)
    assert proxy.cuts == 1
    assert await UserRepository(databases).get(new, floor) == registered
    assert len(await sql(primary, "SELECT FROM users WHERE user_id = $1", new)) == 1


async def test_connections_that_went_stale_are_replaced_without_the_writer_knowing(
    cut: Cut, user: UUID, primary: PostgresServer
) -> None:
    proxy, databases = cut
    async with writing(databases, user, primary, number=2):
        pass  # two connections are kept from now on
    proxy.arm(b"the-word", heard=False, times=2)
    await append(databases, user, "the-word")
    assert (proxy.cuts, await stored_log(primary, user)) == (2, ["the-word"])


async def test_a_key_used_again_gives_the_first_answer_and_runs_nothing(
    databases: Databases, user: UUID, primary: PostgresServer
) -> None:
    await append(databases, user, "one", key="k")
    await append(databases, user, "two")
    again = await append(databases, user, "one", key="k")
    assert (again.row["outcome"], again.row["replayed"]) == (b"one", True)
    assert await stored_log(primary, user) == ["one", "two"]


async def test_a_key_used_for_another_request_is_refused(
    databases: Databases, user: UUID, primary: PostgresServer
) -> None:
    await append(databases, user, "one", key="k")
    with pytest.raises(KeyReused):
        await append(databases, user, "two", key="k")
    assert await stored_log(primary, user) == ["one"]


async def test_the_same_key_at_once_from_many_is_applied_once(
    databases: Databases, user: UUID, primary: PostgresServer
) -> None:
    calls = await asyncio.gather(*(append(databases, user, "one", key="k") for _ in range(8)))
    assert {call.row["outcome"] for call in calls} == {b"one"}
    assert sorted(call.row["replayed"] for call in calls) == [False, *[True] * 7]
    assert await stored_log(primary, user) == ["one"]


async def set_slots(postgres: PostgresShards, shard: int, state: str, epoch: int) -> None:
    await sql(
        postgres.primaries[shard],
        "INSERT INTO slots (slot, epoch, state) SELECT generate_series(0, 333), $2, $1 "
        "ON CONFLICT (slot) DO UPDATE SET state = $1, epoch = $2",
        state,
        epoch,
    )


async def test_an_old_map_is_refreshed_and_the_write_goes_to_the_new_owner(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    await set_slots(postgres, 2, "owned", 2)
    await set_slots(postgres, 1, "moved", 2)
    assert databases.shards.map.get_shard_for_user(user) == 1
    _, floor = await UserRepository(databases).register("us-west", user)
    assert floor[:2] == (2, 2)
    assert databases.shards.map.get_shard_for_user(user) == 2


async def test_a_slot_nobody_owns_is_refused_after_one_refresh(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    await set_slots(postgres, 1, "moved", 2)
    with pytest.raises(WrongEpoch):
        await append(databases, user, "one")
    asked = databases.shards.metrics.registry.get_sample_value("hal9_db_map_refreshes_total", {"reason": "epoch"})
    assert asked == 1
    assert await stored_log(postgres.primaries[1], user) == []


async def test_a_writer_waits_while_its_slot_is_fenced(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    await set_slots(postgres, 1, "fenced", 1)

    async def lift() -> None:
        await asyncio.sleep(0.2)
        await set_slots(postgres, 1, "owned", 1)

    lifting = asyncio.create_task(lift())
    began = time.monotonic()
    await append(databases, user, "one")
    assert time.monotonic() - began > 0.15
    await lifting


async def test_a_slot_fenced_for_too_long_is_told_as_such(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    await set_slots(postgres, 1, "fenced", 1)
    with pytest.raises(SlotFenced):
        await append(databases, user, "one", timeout=0.2)
    assert await stored_log(postgres.primaries[1], user) == []


async def test_a_write_waits_no_longer_than_its_request_lives(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    await set_slots(postgres, 1, "fenced", 1)
    began = time.monotonic()
    with deadline(0.2), pytest.raises(SlotFenced):
        await append(databases, user, "one", timeout=30)
    assert time.monotonic() - began < 1


async def test_a_fence_waits_for_the_writer_in_flight(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    async with writing(databases, user, postgres.primaries[1]):
        fencing = asyncio.create_task(set_slots(postgres, 1, "fenced", 1))
        await asyncio.sleep(0.1)
        assert not fencing.done()
    await asyncio.wait_for(fencing, 5)


async def test_a_cancelled_write_leaves_nothing_and_gives_its_connection_back(
    databases: Databases, user: UUID, primary: PostgresServer
) -> None:
    task = asyncio.create_task(append(databases, user, "one", seconds=30, timeout=30))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert databases.shards.pools[1].primary_pool.active == 0
    await append(databases, user, "two", timeout=2)  # past the row's lock: the server has ended the first
    assert await stored_log(primary, user) == ["two"]


async def test_a_write_that_takes_too_long_is_rolled_back(
    databases: Databases, user: UUID, primary: PostgresServer
) -> None:
    began = time.monotonic()
    with pytest.raises(CommitUnknown):
        await append(databases, user, "one", seconds=30, timeout=0.2)
    assert time.monotonic() - began < 1
    assert databases.shards.pools[1].primary_pool.active == 0
    await append(databases, user, "two", timeout=2)
    assert await stored_log(primary, user) == ["two"]


async def test_a_statement_past_its_time_out_is_ended_by_the_server(
    deployment: Deployment, make_databases: MakeDatabases, user: UUID, primary: PostgresServer
) -> None:
    pools = msgspec.structs.replace(deployment.pools, statement_timeout_seconds=0.1)
    databases = await make_databases(msgspec.structs.replace(deployment, pools=pools))
    began = time.monotonic()
    with pytest.raises(asyncpg.QueryCanceledError):
        await ask(databases, user, "pg_sleep(10)::text")
    assert time.monotonic() - began < 2
    with pytest.raises(CommitUnknown):
        await append(databases, user, "one", seconds=10, timeout=1)
    assert unknown(databases) > 1  # each attempt was ended, and there was time for another one
    assert await stored_log(primary, user) == []


async def test_who_is_not_registered_is_refused_under_any_number_of_attempts(databases: Databases) -> None:
    with pytest.raises(NoSuchUser):
        await ItemRepository(databases).put(databases.shards.map.new_user_id("us-west"), "a", b"1")
    assert unknown(databases) == 0


async def test_expired_keys_are_purged_and_fresh_ones_kept(
    databases: Databases, user: UUID, primary: PostgresServer
) -> None:
    for key in ("old", "new"):
        await append(databases, user, "one", key=key)
    await sql(primary, "UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE key = 'old'")
    assert await databases.upkeep.purge() == 1
    assert [row["key"] for row in await sql(primary, "SELECT key FROM idempotency_keys")] == ["new"]
