from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app.databases.databases import Databases, DatabaseUnavailable, Floor, PoolExhausted, WrongEpoch
from app.databases.floor import UNKNOWN
from app.deployment import Deployment, ReadPreference
from app.items import ItemRepository
from app.users import UserRepository
from lab.servers.postgres import PostgresServer
from tests.app.fixtures_postgres import MakeDatabases, PostgresShards
from tests.app.logs import append, ask, log, read_at, writing


@pytest.fixture
async def user(databases: Databases) -> UUID:
    """A user of shard 1, at home in us-west."""
    registered, _ = await UserRepository(databases).register("us-west")
    return registered.id


@contextlib.asynccontextmanager
async def paused(replica: PostgresServer) -> AsyncIterator[None]:
    """The replica replays nothing meanwhile."""
    connection = await asyncpg.connect(**replica.dsn())
    await connection.execute("SELECT pg_wal_replay_pause()")
    while await connection.fetchval("SELECT pg_get_wal_replay_pause_state()") != "paused":
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        await connection.execute("SELECT pg_wal_replay_resume()")
        await connection.close()


def fallbacks(databases: Databases, region: str, reason: str, shard: int = 1) -> float:
    labels = {"shard": str(shard), "region": region, "reason": reason}
    return databases.shards.metrics.registry.get_sample_value("hal9_db_fallbacks_total", labels) or 0


@pytest.mark.parametrize("region", ["us-west", "eu-central", "ap-south"])
async def test_a_read_stays_in_its_region(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID, region: str
) -> None:
    databases = await make_databases(region=region)
    near = postgres.replicas[1].get(region, postgres.primaries[1])
    assert await read_at(databases, user) == near.port


async def test_the_primary_answers_all_where_the_document_says_so(
    postgres: PostgresShards, deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    sharding = msgspec.structs.replace(deployment.sharding, read_preference=ReadPreference.PRIMARY)
    databases = await make_databases(msgspec.structs.replace(deployment, sharding=sharding), "eu-central")
    assert await read_at(databases, user) == postgres.primaries[1].port


async def test_replicas_come_first_where_the_document_says_so(
    postgres: PostgresShards, deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    sharding = msgspec.structs.replace(deployment.sharding, read_preference=ReadPreference.REPLICA)
    databases = await make_databases(msgspec.structs.replace(deployment, sharding=sharding), "us-west")
    assert await read_at(databases, user) in {replica.port for replica in postgres.replicas[1].values()}


async def test_a_replica_behind_the_floor_is_never_used(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID
) -> None:
    databases = await make_databases(region="eu-central")
    items = ItemRepository(databases)
    async with paused(postgres.replicas[1]["eu-central"]):
        for number in range(30):
            written = await items.put(user, "n", b"%d" % number)
            item = await items.get(user, "n", written.floor)
            assert item is not None
            assert item.value == b"%d" % number
        assert await read_at(databases, user, written.floor) != postgres.replicas[1]["eu-central"].port
        # Without a floor the near replica answers, and it knows nothing of all this.
        assert await items.get(user, "n") is None
    assert fallbacks(databases, "eu-central", "behind") >= 30


async def test_with_every_replica_behind_the_primary_answers(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID
) -> None:
    databases = await make_databases(region="eu-central")
    async with paused(postgres.replicas[1]["eu-central"]), paused(postgres.replicas[1]["ap-south"]):
        written = await ItemRepository(databases).put(user, "a", b"1")
        assert await read_at(databases, user, written.floor) == postgres.primaries[1].port


async def test_a_replica_is_used_again_once_it_has_reached_the_floor(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID
) -> None:
    databases = await make_databases(region="eu-central")
    replica = postgres.replicas[1]["eu-central"]
    async with paused(replica):
        written = await ItemRepository(databases).put(user, "a", b"1")
        assert await read_at(databases, user, written.floor) != replica.port
    async with asyncio.timeout(5):
        while await read_at(databases, user, written.floor) != replica.port:
            await asyncio.sleep(0.01)


async def test_a_floor_from_one_region_holds_in_another(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID
) -> None:
    here, there = await make_databases(region="us-west"), await make_databases(region="ap-south")
    async with paused(postgres.replicas[1]["ap-south"]):
        written = await ItemRepository(here).put(user, "a", b"1")
        floor = Floor.decode(written.floor.encode())
        assert await ItemRepository(there).get(user, "a", floor) is not None


async def test_what_a_replica_has_replayed_is_asked_once_a_floor(make_databases: MakeDatabases, user: UUID) -> None:
    databases = await make_databases(region="eu-central")
    written = await ItemRepository(databases).put(user, "a", b"1")
    async with asyncio.timeout(5):
        while databases.shards.pools[1].read_pools["eu-central"][0].replayed < written.floor.lsn:
            await read_at(databases, user, written.floor)
    pool = databases.shards.pools[1].read_pools["eu-central"][0]
    asked = pool.has_replayed
    pool.has_replayed = pytest.fail  # type: ignore[method-assign,assignment]
    await read_at(databases, user, written.floor)
    pool.has_replayed = asked  # type: ignore[method-assign]


@pytest.mark.parametrize("floor", [Floor(2, 1, 1), Floor(1, 0, 1), Floor(1, 1, UNKNOWN)])
async def test_a_floor_that_says_nothing_here_sends_the_read_to_the_primary(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID, floor: Floor
) -> None:
    databases = await make_databases(region="eu-central")
    assert await read_at(databases, user, floor) == postgres.primaries[1].port


async def test_a_floor_of_an_owner_that_postgres_does_not_confirm_sends_the_read_to_the_primary(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID
) -> None:
    databases = await make_databases(region="eu-central")
    assert await read_at(databases, user, Floor(2, 9, UNKNOWN)) == postgres.primaries[1].port


async def test_a_dead_replica_is_passed_over_at_once_and_then_not_asked(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID
) -> None:
    databases = await make_databases(region="eu-central")
    replica = postgres.replicas[1]["eu-central"]
    assert await read_at(databases, user) == replica.port
    replica.kill()
    try:
        assert await read_at(databases, user) != replica.port
        began = time.monotonic()
        for _ in range(20):
            await read_at(databases, user)
        assert time.monotonic() - began < 1
        assert fallbacks(databases, "eu-central", "unreachable") <= 6
    finally:
        replica.start()
    async with asyncio.timeout(20):
        while await read_at(databases, user) != replica.port:
            await asyncio.sleep(0.05)


async def test_a_restarted_replica_loses_no_read(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID
) -> None:
    databases = await make_databases(region="eu-central")
    replica = postgres.replicas[1]["eu-central"]
    await asyncio.gather(*(read_at(databases, user) for _ in range(4)))
    replica.kill()
    replica.start()
    ports = [await read_at(databases, user) for _ in range(8)]
    assert set(ports) == {replica.port}


async def test_a_replica_that_hangs_leaves_time_for_the_next(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID
) -> None:
    databases = await make_databases(region="eu-central")
    replica = postgres.replicas[1]["eu-central"]
    databases.shards.pools[1].read_pools["eu-central"][0].expire()  # what hangs is who takes new connections
    replica.process.suspend()
    try:
        assert await read_at(databases, user, timeout=2) != replica.port
    finally:
        replica.process.resume()


async def test_with_the_primary_away_reads_go_on_and_writes_are_refused_in_time(
    postgres: PostgresShards, make_databases: MakeDatabases, user: UUID
) -> None:
    databases = await make_databases(region="us-west")
    primary = postgres.primaries[1]
    primary.kill()
    try:
        assert await read_at(databases, user) in {replica.port for replica in postgres.replicas[1].values()}
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            await ItemRepository(databases).put(user, "a", b"1", timeout=0.5)
        assert time.monotonic() - began < 1
    finally:
        primary.start()
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(DatabaseUnavailable):
                await ItemRepository(databases).put(user, "a", b"1", timeout=0.5)
                break
            await asyncio.sleep(0.05)


async def test_a_pool_in_full_use_is_told_as_exhausted_within_the_time(
    postgres: PostgresShards, deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    pools = msgspec.structs.replace(deployment.pools, primary_size=2)
    databases = await make_databases(msgspec.structs.replace(deployment, pools=pools))
    async with writing(databases, user, postgres.primaries[1], number=2):
        (sample,) = [s for s in databases.shards.pool_samples() if (s.shard, s.role) == (1, "primary")]
        assert (sample.active, sample.max, sample.region) == (2, 2, "us-west")
        began = time.monotonic()
        with pytest.raises(PoolExhausted):
            await append(databases, user, "one", timeout=0.2)
        assert time.monotonic() - began < 1
    await append(databases, user, "two")
    assert await log(databases, user) == ["two"]


async def test_a_changed_password_is_read_anew(
    postgres: PostgresShards, deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    databases = await make_databases()
    admin = await asyncpg.connect(**postgres.primaries[1].dsn())
    secret = Path(deployment.secrets_directory) / "shard-1"
    await admin.execute("CREATE ROLE rotated SUPERUSER LOGIN PASSWORD 'second'")
    try:
        secret.write_text(json.dumps({"username": "rotated", "password": "second"}))
        databases.shards.pools[1].primary_pool.expire()  # those that are kept stay as they are
        assert await ask(databases, user, "current_user::text") == "rotated"
        await append(databases, user, "one")
    finally:
        await databases.close()
        await admin.execute("DROP ROLE rotated")
        await admin.close()


async def test_a_connection_past_its_lifetime_is_replaced(
    deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    pools = msgspec.structs.replace(deployment.pools, max_lifetime_seconds=0.05)
    databases = await make_databases(msgspec.structs.replace(deployment, pools=pools))
    first = await ask(databases, user, "pg_backend_pid()")
    await asyncio.sleep(0.06)
    await read_at(databases, user)  # returned too old, and closed
    assert await ask(databases, user, "pg_backend_pid()") != first


async def test_a_read_that_takes_too_long_is_ended_and_its_connection_serves_the_next(
    deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    pools = msgspec.structs.replace(deployment.pools, primary_size=1)
    databases = await make_databases(msgspec.structs.replace(deployment, pools=pools))
    with pytest.raises(DatabaseUnavailable):
        await ask(databases, user, "pg_sleep(10)::text", timeout=0.2)
    assert await ask(databases, user, "7", timeout=1) == 7


async def test_many_readers_share_few_connections_and_all_are_answered(
    deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    pools = msgspec.structs.replace(deployment.pools, primary_size=2)
    databases = await make_databases(msgspec.structs.replace(deployment, pools=pools))
    answers = await asyncio.gather(
        *(ask(databases, user, "pg_backend_pid() || ' ' || $2::int", number) for number in range(100))
    )
    servers, numbers = zip(*(answer.split() for answer in answers), strict=True)
    assert [int(number) for number in numbers] == list(range(100))
    assert len(set(servers)) <= 2


async def test_a_reader_that_is_cancelled_while_it_waits_takes_nothing_with_it(
    postgres: PostgresShards, deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    pools = msgspec.structs.replace(deployment.pools, primary_size=1)
    databases = await make_databases(msgspec.structs.replace(deployment, pools=pools))
    for delay in (0, 0.001, 0.01):
        async with writing(databases, user, postgres.primaries[1]):
            waiting = [asyncio.create_task(read_at(databases, user)) for _ in range(3)]
            await asyncio.sleep(0.01)
        await asyncio.sleep(delay)
        waiting[0].cancel()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert not any(isinstance(result, Exception) for result in results[1:])
    assert databases.shards.pools[1].primary_pool.active == 0


async def test_connections_nobody_needs_are_closed(
    deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    pools = msgspec.structs.replace(deployment.pools, idle_timeout_seconds=0.05)
    databases = await make_databases(msgspec.structs.replace(deployment, pools=pools))
    first = await ask(databases, user, "pg_backend_pid()")
    await asyncio.sleep(0.2)
    assert await ask(databases, user, "(SELECT count(*) FROM pg_stat_activity WHERE pid = $2)", first) == 0
    assert await ask(databases, user, "pg_backend_pid()") != first


async def test_a_query_that_is_wrong_is_told_and_its_connection_given_back(databases: Databases, user: UUID) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        await ask(databases, user, "(SELECT count(*) FROM nowhere)")
    assert sum(sample.active for sample in databases.shards.pool_samples()) == 0


async def hand_over(postgres: PostgresShards) -> None:
    """Shard 2 owns what was shard 1's."""
    for number, state in ((2, "owned"), (1, "moved")):
        connection = await asyncpg.connect(**postgres.primaries[number].dsn())
        await connection.execute(
            "INSERT INTO slots (slot, epoch, state) SELECT generate_series(0, 333), 2, $1 "
            "ON CONFLICT (slot) DO UPDATE SET state = $1, epoch = 2",
            state,
        )
        await connection.close()


async def test_a_reader_with_an_old_map_finds_the_new_owner(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    await hand_over(postgres)
    assert await UserRepository(databases).get(user) is None  # shard 2 has no such user; shard 1 was not believed
    assert databases.shards.map.get_shard_for_user(user) == 2


async def test_a_read_that_has_to_find_the_new_owner_has_no_more_time_for_it(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    await hand_over(postgres)
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await ask(databases, user, "pg_sleep(0.4)::text", timeout=0.6)
    assert time.monotonic() - began < 0.75


async def test_rows_of_a_slot_that_nobody_owns_are_not_read(
    databases: Databases, postgres: PostgresShards, user: UUID
) -> None:
    connection = await asyncpg.connect(**postgres.primaries[1].dsn())
    await connection.execute("UPDATE slots SET state = 'moved'")
    await connection.close()
    with pytest.raises(WrongEpoch):
        await UserRepository(databases).get(user)


async def test_the_lag_of_a_replica_is_measured_and_unknown_is_infinite(
    postgres: PostgresShards, make_databases: MakeDatabases
) -> None:
    databases = await make_databases(region="eu-central")
    await databases.upkeep.measure_lag()
    lags = {sample.shard: sample.seconds for sample in databases.shards.lag_samples()}
    assert lags.keys() == {1, 3}
    assert max(lags.values()) < 60
    replica = postgres.replicas[1]["eu-central"]
    replica.kill()
    try:
        await databases.upkeep.measure_lag()
        assert {s.shard: s.seconds for s in databases.shards.lag_samples()}[1] == float("inf")
    finally:
        replica.start()


async def test_a_shard_that_is_away_does_not_keep_a_process_from_starting(
    deployment: Deployment, make_databases: MakeDatabases, user: UUID
) -> None:
    first, second, third = deployment.sharding.shards
    away = msgspec.structs.replace(second.primary.endpoint, port=1)
    second = msgspec.structs.replace(
        second, primary=msgspec.structs.replace(second.primary, endpoint=away), replicas=()
    )
    sharding = msgspec.structs.replace(deployment.sharding, shards=(first, second, third))
    databases = await make_databases(msgspec.structs.replace(deployment, sharding=sharding))
    await read_at(databases, user)
    with pytest.raises(DatabaseUnavailable):
        await read_at(databases, databases.shards.map.new_user_id("eu-central"))


def test_a_floor_survives_its_text() -> None:
    floor = Floor(3, 12, 0x16_B374_D848)
    assert Floor.decode(floor.encode()) == floor


@pytest.mark.parametrize("text", ["", "1.2", "a.b.c", "1.2.3.4"])
def test_a_text_that_is_no_floor_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is Python's own
        Floor.decode(text)


def test_of_two_floors_the_newer_epoch_then_the_higher_position_stays() -> None:
    assert Floor(1, 2, 5).joined(Floor(2, 1, 9)) == Floor(1, 2, 5)
    assert Floor(1, 2, 5).joined(Floor(1, 2, 9)) == Floor(1, 2, 9)
    assert Floor(1, 2, 5).joined(None) == Floor(1, 2, 5)
