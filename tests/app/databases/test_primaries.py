"""Promotions are followed, and the former primary is closed, on a shard of real servers of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from msgspec import structs

from app.databases import primaries
from app.databases.databases import Databases
from app.databases.floor import Floor
from app.databases.pools import DatabaseUnavailable, InstancePool, OptimizedConnectionPool
from app.databases.primaries import Standing
from app.deployment import Deployment, KeyRange, ShardConfig
from app.items import ItemRepository
from app.metrics import Metrics
from app.migrate import migrate_shard
from app.users import UserRepository
from lab.servers.accounts import write_accounts
from lab.servers.postgres import DATABASE, PostgresServer
from lab.servers.process import work_directory
from tests.app.fixtures_postgres import caught_up, instance
from tests.app.logs import read_at, written_at

HOME, NEXT, LAST = "us-west", "eu-central", "ap-south"


class Shard:
    """A primary at home and a replica in two other regions, made anew for each test: a promotion cannot be undone."""

    def __init__(self, directory: Path) -> None:
        self.primary = PostgresServer(directory / "primary")
        self.replicas = {region: PostgresServer(directory / region, replica_of=self.primary) for region in (NEXT, LAST)}

    def start(self) -> None:
        self.primary.create()
        self.primary.start()
        asyncio.run(self._make_database())
        with ThreadPoolExecutor() as workers:
            list(workers.map(self._start_replica, self.replicas.values()))

    @staticmethod
    def _start_replica(replica: PostgresServer) -> None:
        replica.create()
        replica.start()

    async def _make_database(self) -> None:
        connection = await asyncpg.connect(**self.primary.dsn("postgres"))
        await connection.execute(f"CREATE DATABASE {DATABASE}")
        await connection.close()

    def stop(self) -> None:
        for server in (*self.replicas.values(), self.primary):
            server.kill()


@pytest.fixture
def shard() -> Iterator[Shard]:
    with work_directory("hal9-promotion-test", in_memory=True) as directory:
        servers = Shard(directory)
        try:
            servers.start()
            yield servers
        finally:
            servers.stop()


@pytest_asyncio.fixture
async def document(shard: Shard, deployment: Deployment) -> Deployment:
    config = ShardConfig(
        id=1,
        home=HOME,
        primary=instance(HOME, shard.primary),
        replicas=tuple(instance(region, server) for region, server in shard.replicas.items()),
        key_ranges=(KeyRange(start=0, end=999),),
    )
    write_accounts(Path(deployment.secrets_directory), 1, shard.primary.password)
    made = structs.replace(deployment, sharding=structs.replace(deployment.sharding, shards=(config,)))
    await migrate_shard(made, config)
    for replica in shard.replicas.values():
        await caught_up(shard.primary, replica)
    return made


@pytest_asyncio.fixture
async def databases(document: Deployment) -> AsyncIterator[Databases]:
    async with Databases(document, Metrics()) as made:
        yield made


@pytest_asyncio.fixture
async def user(databases: Databases) -> UUID:
    registered, _ = await UserRepository(databases).register(HOME)
    return registered.id


async def ask(server: PostgresServer, query: str) -> object:
    connection = await asyncpg.connect(**server.dsn())
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def promote(shard: Shard, region: str, after: float = 0.0) -> PostgresServer:
    await asyncio.sleep(after)
    await asyncio.to_thread(shard.replicas[region].promote)
    return shard.replicas[region]


async def test_a_write_under_way_waits_for_the_promotion_and_is_applied_once(
    shard: Shard, databases: Databases, user: UUID
) -> None:
    items = ItemRepository(databases)
    await items.put(user, "a", b"before")
    await caught_up(shard.primary, shard.replicas[NEXT])
    shard.primary.kill()
    promotion = asyncio.create_task(promote(shard, NEXT, after=1.0))
    written = await items.put(user, "a", b"after", idempotency_key="k")
    await promotion
    again = await items.put(user, "a", b"after", idempotency_key="k")
    assert (again.version, await written_at(databases, user)) == (written.version, shard.replicas[NEXT].port)
    item = await items.get(user, "a", written.floor)
    assert item is not None
    assert item.value == b"after"


async def test_a_read_above_every_replica_waits_for_the_promotion(
    shard: Shard, databases: Databases, user: UUID
) -> None:
    shard.replicas[LAST].kill()
    floor = Floor(1, 1, 2**62)  # of a write that reached nobody else
    shard.primary.kill()
    promotion = asyncio.create_task(promote(shard, NEXT, after=1.0))
    port = await read_at(databases, user, floor)
    await promotion
    assert port == shard.replicas[NEXT].port


async def test_the_promoted_primary_gives_its_slots_a_new_epoch_once(
    shard: Shard, document: Deployment, databases: Databases, user: UUID
) -> None:
    shard.primary.kill()
    await promote(shard, NEXT)
    async with contextlib.AsyncExitStack() as stack:
        others = [await stack.enter_async_context(Databases(document, Metrics())) for _ in range(3)]
        ports = await asyncio.gather(*(written_at(each, user) for each in (databases, *others)))
    assert set(ports) == {shard.replicas[NEXT].port}
    assert await ask(shard.replicas[NEXT], "SELECT min(epoch) * 10 + max(epoch) FROM slots") == 22


@pytest.mark.usefixtures("document")
async def test_a_promoted_primary_takes_no_write_before_it_is_open(shard: Shard) -> None:
    shard.primary.kill()
    promoted = await promote(shard, NEXT)
    with pytest.raises(asyncpg.PostgresError, match="was promoted and is not open yet"):
        await ask(promoted, "SELECT fence(slot, epoch) FROM slots LIMIT 1")


async def test_a_former_primary_that_comes_back_is_closed_and_refuses_the_old_map(
    shard: Shard, databases: Databases, user: UUID
) -> None:
    shard.primary.kill()
    await promote(shard, NEXT)
    assert await written_at(databases, user) == shard.replicas[NEXT].port
    shard.primary.start()
    await asyncio.sleep(0.3)  # the instance is passed over for a moment after a failure
    await databases.shards.seek_primaries()
    with pytest.raises(asyncpg.PostgresError, match="slot 7 is moved"):
        await ask(shard.primary, "SELECT fence(7::smallint, 1)")
    assert await written_at(databases, user) == shard.replicas[NEXT].port


async def test_a_process_that_starts_with_an_old_document_writes_to_the_promoted_one(
    shard: Shard, document: Deployment, user: UUID
) -> None:
    shard.primary.kill()
    await promote(shard, NEXT)
    shard.primary.start()
    async with Databases(document, Metrics()) as fresh:
        assert await written_at(fresh, user) == shard.replicas[NEXT].port


async def test_a_replica_that_does_not_follow_the_promoted_one_is_not_read(
    shard: Shard, databases: Databases, user: UUID
) -> None:
    shard.primary.kill()
    await promote(shard, NEXT)
    await written_at(databases, user)
    await databases.shards.seek_primaries()
    assert {await read_at(databases, user) for _ in range(10)} == {shard.replicas[NEXT].port}
    former = shard.primary
    await asyncio.to_thread(former.rejoin, shard.replicas[NEXT])
    former.start()
    async with asyncio.timeout(10):
        while former.port not in {pool.endpoint.port for pool in databases.shards.pools[1]}:
            await databases.shards.seek_primaries()
            await asyncio.sleep(0.05)
    assert await read_at(databases, user) == former.port  # the nearest, and it follows


async def test_a_replica_that_was_left_behind_is_infinitely_late(
    shard: Shard, document: Deployment, user: UUID
) -> None:
    async with Databases(structs.replace(document, region=LAST), Metrics()) as databases:
        await databases.upkeep.measure_lag()
        assert [sample.seconds < 60 for sample in databases.shards.lag_samples()] == [True]
        shard.primary.kill()
        await promote(shard, NEXT)
        await written_at(databases, user)
        await databases.shards.seek_primaries()
        await databases.upkeep.measure_lag()
        assert [(s.region, s.seconds) for s in databases.shards.lag_samples()] == [(LAST, float("inf"))]


async def test_with_nothing_promoted_a_write_is_refused_in_time(shard: Shard, databases: Databases, user: UUID) -> None:
    shard.primary.kill()
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await ItemRepository(databases).put(user, "a", b"1", timeout=1)
    assert time.monotonic() - began < 2


async def test_the_count_of_promotions_followed_is_a_metric(shard: Shard, databases: Databases, user: UUID) -> None:
    shard.primary.kill()
    await promote(shard, NEXT)
    await written_at(databases, user)
    assert databases.shards.metrics.db_promotions.labels("1")._value.get() == 1


async def test_no_statement_of_a_request_makes_a_new_connection_ask_what_its_types_are(
    databases: Databases, user: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked(*_: object) -> None:
        pytest.fail("asyncpg asked the server for a type: five round trips more on every new connection")

    monkeypatch.setattr(asyncpg.Connection, "_introspect_types", asked)
    items = ItemRepository(databases)
    for pool in databases.shards.pools[1]:
        pool.expire()
    written = await items.put(user, "a", b"1", expected=[0, 7])
    await items.get(user, "a", written.floor)
    await items.list(user)
    await UserRepository(databases).get(user)
    await items.delete(user, "a")
    await UserRepository(databases).register(HOME)
    await databases.shards.refresh("test")


# -- the choice, without servers


@pytest.fixture
def pools(deployment: Deployment) -> OptimizedConnectionPool:
    return OptimizedConnectionPool(deployment, deployment.sharding.shards[0])


def chosen(pools: OptimizedConnectionPool, *said: Standing | None) -> tuple[int, list[int], list[int], list[int]]:
    """The arrangement by the instances' numbers: 0 is the document's primary."""
    answers = {pool: answer for pool, answer in zip(pools.instances, said, strict=True) if answer is not None}
    found = primaries.arrange(pools, answers)

    def numbers(some: list[InstancePool]) -> list[int]:
        return [pools.instances.index(pool) for pool in some]

    return numbers([found.primary])[0], numbers(found.replicas), numbers(found.superseded), numbers(found.twins)


FIRST, SECOND = "00000001", "00000002"


async def test_the_document_is_right_until_something_was_promoted(pools: OptimizedConnectionPool) -> None:
    standby = Standing(True, FIRST)
    assert chosen(pools, Standing(False, FIRST), standby, standby) == (0, [1, 2], [], [])
    assert chosen(pools, Standing(False, FIRST), Standing(True, None), None) == (0, [1, 2], [], [])
    assert chosen(pools, None, None, None) == (0, [1, 2], [], [])
    assert chosen(pools, None, standby, standby) == (0, [1, 2], [], [])


async def test_the_newest_timeline_is_the_primary_s_and_only_who_streams_it_is_a_replica(
    pools: OptimizedConnectionPool,
) -> None:
    promoted = Standing(False, SECOND)
    assert chosen(pools, None, promoted, Standing(True, None)) == (1, [], [], [])
    assert chosen(pools, None, promoted, Standing(True, SECOND)) == (1, [2], [], [])
    assert chosen(pools, None, promoted, None) == (1, [2], [], [])
    assert chosen(pools, Standing(False, FIRST), promoted, Standing(True, FIRST)) == (1, [], [0], [])
    assert chosen(pools, Standing(True, SECOND), promoted, None) == (1, [0, 2], [], [])


async def test_of_two_on_one_timeline_the_present_one_stays_and_an_operator_is_told(
    pools: OptimizedConnectionPool,
) -> None:
    assert chosen(pools, Standing(False, FIRST), Standing(False, FIRST), None) == (0, [2], [], [1])
    pools.arrange(pools.instances[2], [])
    assert chosen(pools, None, Standing(False, SECOND), Standing(False, SECOND)) == (2, [], [], [1])


async def test_a_former_primary_that_is_away_is_no_replica_until_it_says_so(pools: OptimizedConnectionPool) -> None:
    pools.arrange(pools.instances[1], [pools.instances[2]])
    assert chosen(pools, None, None, None) == (1, [2], [], [])
    assert chosen(pools, Standing(True, SECOND), Standing(False, SECOND), None) == (1, [0, 2], [], [])


async def test_a_promoted_pool_has_a_primary_s_size_and_the_former_a_replica_s(deployment: Deployment) -> None:
    sizes = structs.replace(deployment.pools, primary_size=5, replica_size=2)
    made = OptimizedConnectionPool(structs.replace(deployment, pools=sizes), deployment.sharding.shards[0])
    made.arrange(made.instances[1], [made.instances[0]])
    assert [(pool.role, pool.size) for pool in made.instances] == [("replica", 2), ("primary", 5), ("replica", 2)]
