"""Sessions over three regions of real Redis: one manager for each region, as three processes would have it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest
import pytest_asyncio

from app.deployment import (
    Deployment,
    Endpoint,
    IdentityConfig,
    PoolConfig,
    RegionConfig,
    SessionConfig,
    SessionKey,
    SessionStore,
    ShardingConfig,
)
from app.metrics import Metrics
from app.redis_clients import RedisClients
from app.session_cookie import is_id, new_id
from app.session_records import heartbeat_key, session_key
from app.sessions import ClientInfo, DistributedSessionManager, Session, SessionsUnreachable
from tests.app.fixtures_redis import REGIONS, Document, RedisRegions

WEST, CENTRAL, SOUTH = REGIONS
USER = UUID(int=1)


def bare_document(directory: Path) -> Deployment:
    nowhere = Endpoint(host="127.0.0.1", port=1, tls=False)
    return Deployment(
        region=WEST,
        regions=(RegionConfig(name=WEST, cache=nowhere, sessions=SessionStore(primary=nowhere)),),
        sharding=ShardingConfig(shards=(), replication_factor=1),
        pools=PoolConfig(primary_size=1, replica_size=1),
        sessions=SessionConfig(keyring=(SessionKey(id="k1", state="active"),)),
        identity=IdentityConfig(issuer="", audience="", service_audience="", jwks=os.devnull),
        secrets_directory=str(directory),
    )


class World:
    """A manager in each region, `at[region]`, over the servers of `redis`."""

    def __init__(self, redis: RedisRegions, documents: dict[str, Deployment]) -> None:
        self.redis = redis
        self.metrics = {region: Metrics() for region in REGIONS}
        self.clients = {region: RedisClients(document) for region, document in documents.items()}
        self.at = {
            region: DistributedSessionManager(clients, metrics=self.metrics[region])
            for region, clients in self.clients.items()
        }

    async def copied(self) -> None:
        """Wait until every write of before is in every copy."""
        await asyncio.to_thread(self.redis.wait_for_copies)

    async def beat(self) -> None:
        """Let every region show that it is alive, and hear of revocations, once."""
        for manager in self.at.values():
            await manager._revocations._beat()
        await self.copied()
        for manager in self.at.values():
            for region in REGIONS:
                await manager._revocations._read(region)

    def raw(self, region: str, session_id: str) -> bytes | None:
        with self.redis.primaries[region].client() as client:
            found: bytes | None = client.get(session_key(region, session_id))
            return found

    def put_raw(self, region: str, session_id: str, record: bytes) -> None:
        with self.redis.primaries[region].client() as client:
            client.set(session_key(region, session_id), record, ex=3600)

    def lives_in(self, session_id: str) -> list[str]:
        return [region for region in REGIONS if (self.raw(region, session_id) or b"")[:1] == b"L"]

    def refused(self, region: str, reason: str) -> float:
        value = self.metrics[region].registry.get_sample_value("hal9_sessions_refused_total", {"reason": reason})
        return value or 0.0


@pytest_asyncio.fixture
async def world(redis_regions: RedisRegions, redis_document: Document) -> AsyncIterator[World]:
    world = World(redis_regions, {region: redis_document(region) for region in REGIONS})
    await world.beat()
    yield world
    for region in REGIONS:
        await world.at[region].close()
        await world.clients[region].close()


async def test_a_session_lives_an_hour_under_the_specification_s_key(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    with world.redis.primaries[WEST].client() as client:
        assert 3590 < client.ttl(f"session:us-west:{session.id}") <= 3600
    assert is_id(session.id)


async def test_what_is_stored_shows_nothing_of_the_user(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"note": "very-visible"})
    record = world.raw(WEST, session.id)
    assert record is not None
    assert b"very-visible" not in record
    assert USER.bytes not in record


async def test_a_session_is_read_as_it_was_begun(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"floor": [1, 2], "name": "é"})
    assert await world.at[WEST].get_session(session.id) == session


async def test_an_id_that_nobody_has_is_no_session(world: World) -> None:
    assert await world.at[WEST].get_session(new_id()) is None


@pytest.mark.parametrize("made_up", ["", "x", "x" * 44, "*" * 43, "x" * 42 + "\0", "x" * 42 + "\n"])
async def test_an_id_of_another_form_is_not_even_asked_for(world: World, made_up: str) -> None:
    for server in world.redis.primaries.values():
        server.process.suspend()
    assert await world.at[WEST].get_session(made_up) is None


async def test_a_session_begins_in_the_region_that_the_edge_names(world: World) -> None:
    client = ClientInfo("192.0.2.1", {"x-user-region": SOUTH})
    session = await world.at[WEST].create_session(USER, client)
    assert (session.region, world.lives_in(session.id)) == (SOUTH, [SOUTH])


async def test_a_session_begins_here_where_its_region_does_not_answer(world: World) -> None:
    world.redis.primaries[SOUTH].process.suspend()
    session = await world.at[WEST].create_session(USER, ClientInfo(headers={"x-user-region": SOUTH}))
    assert (session.region, (world.raw(WEST, session.id) or b"")[:1]) == (WEST, b"L")


async def test_a_change_is_stored_and_keeps_the_end(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    changed = await world.at[WEST].update(session, lambda data: data.update(seen=1))
    assert changed is not None
    assert (changed.version, changed.expires_at) == (2, session.expires_at)
    assert await world.at[WEST].get_session(session.id) == changed
    with world.redis.primaries[WEST].client() as client:
        assert abs(client.pexpiretime(session_key(WEST, session.id)) - session.expires_at * 1000) <= 1


async def test_of_fifty_changes_at_once_none_is_lost(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"seen": 0})

    async def count() -> None:
        for _ in range(20):
            with contextlib.suppress(SessionsUnreachable):  # overtaken eight times in a row: try again
                assert await world.at[WEST].update(session, lambda data: data.update(seen=data["seen"] + 1))
                return
        raise AssertionError("never stored")

    await asyncio.gather(*(count() for _ in range(50)))
    found = await world.at[WEST].get_session(session.id)
    assert found is not None
    assert found.data == {"seen": 50}


async def test_logging_in_gives_a_new_id_and_ends_the_old_one(world: World) -> None:
    planted = await world.at[WEST].create_session(uuid4(), data={"planted": True})
    session = await world.at[WEST].renew(planted, USER)
    assert session.id != planted.id
    assert session.data == {}
    assert await world.at[WEST].get_session(planted.id) is None


# Other regions


async def test_a_session_follows_its_user_and_keeps_its_end(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"basket": "full"})
    await world.copied()
    there = await world.at[SOUTH].get_session(session.id)
    assert there is not None
    assert (there.region, there.version, there.data) == (SOUTH, 2, {"basket": "full"})
    assert there.expires_at == session.expires_at
    assert world.lives_in(session.id) == [SOUTH]
    with world.redis.primaries[SOUTH].client() as client:
        assert abs(client.pexpiretime(session_key(SOUTH, session.id)) - session.expires_at * 1000) <= 1


async def test_a_session_goes_round_the_world_and_comes_home(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"hops": 0})
    for region in (SOUTH, CENTRAL, WEST, SOUTH, WEST):
        await world.copied()
        found = await world.at[region].get_session(session.id)
        assert found is not None
        assert await world.at[region].update(found, lambda data: data.update(hops=data["hops"] + 1)) is not None
    assert world.lives_in(session.id) == [WEST]
    found = await world.at[WEST].get_session(session.id)
    assert found is not None
    assert (found.data, found.version) == ({"hops": 5}, 11)


async def test_what_moves_is_what_the_owner_has_and_not_what_a_late_copy_has(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"seen": "old"})
    await world.copied()
    with frozen_copies(world):
        await world.at[WEST].update(session, lambda data: data.update(seen="new"))
        found = await world.at[SOUTH].get_session(session.id)
    assert found is not None
    assert found.data == {"seen": "new"}


@contextlib.contextmanager
def frozen_copies(world: World):  # type: ignore[no-untyped-def]
    """Copies that answer and hear nothing new (their primaries send nothing: as on a slow link)."""
    for (of, _), copy in world.redis.copies.items():
        with copy.client() as client:
            client.config_set("replica-serve-stale-data", "yes")
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
        del of
    try:
        yield
    finally:
        for copy in world.redis.copies.values():
            assert copy.replica_of is not None
            with copy.client() as client:
                client.execute_command("REPLICAOF", copy.replica_of.host, copy.replica_of.port)
        for copy in world.redis.copies.values():
            copy.wait_until_copied()


@pytest.mark.parametrize("attempt", range(5))
async def test_of_two_regions_that_move_a_session_at_once_one_wins_and_both_serve(world: World, attempt: int) -> None:
    session = await world.at[WEST].create_session(USER, data={"basket": attempt})
    await world.copied()
    first, second = await asyncio.gather(
        world.at[SOUTH].get_session(session.id), world.at[CENTRAL].get_session(session.id)
    )
    assert len(world.lives_in(session.id)) == 1
    for found in (first, second):
        assert found is not None
        assert found.data == {"basket": attempt}


async def test_changes_in_two_regions_while_a_session_moves_are_all_kept(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={})
    await world.copied()

    async def write(region: str, name: str) -> None:
        for _ in range(50):
            with contextlib.suppress(SessionsUnreachable):
                found = await world.at[region].get_session(session.id)
                if found is not None and await world.at[region].update(found, lambda data: data.update({name: 1})):
                    return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{region} never wrote {name}")

    await asyncio.gather(*(write(region, f"{region}-{number}") for region in REGIONS for number in range(5)))
    await world.copied()
    assert len(world.lives_in(session.id)) == 1
    found = await world.at[WEST].get_session(session.id)
    assert found is not None
    assert set(found.data) == {f"{region}-{number}" for region in REGIONS for number in range(5)}


async def test_a_move_that_died_half_way_is_finished_by_the_next_reader(world: World) -> None:
    from app.session_records import MOVE

    session = await world.at[WEST].create_session(USER, data={"basket": "full"})
    await MOVE.run(world.clients[SOUTH].sessions(WEST), [session_key(WEST, session.id)], SOUTH, WEST)
    await world.copied()
    assert world.lives_in(session.id) == []
    found = await world.at[CENTRAL].get_session(session.id)
    assert found is not None
    assert found.data == {"basket": "full"}
    assert world.lives_in(session.id) == [CENTRAL]


@pytest.mark.parametrize("reader", [WEST, SOUTH])
async def test_a_half_done_move_is_finished_by_where_it_came_from_and_by_where_it_went(
    world: World, reader: str
) -> None:
    from app.session_records import MOVE

    session = await world.at[WEST].create_session(USER, data={"basket": "full"})
    await MOVE.run(world.clients[SOUTH].sessions(WEST), [session_key(WEST, session.id)], SOUTH, WEST)
    await world.copied()
    found = await world.at[reader].get_session(session.id)
    assert found is not None
    assert found.data == {"basket": "full"}
    assert world.lives_in(session.id) == [reader]


async def test_a_region_s_sessions_survive_its_loss(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"basket": "full"})
    await world.copied()
    world.redis.primaries[WEST].kill()
    found = await world.at[SOUTH].get_session(session.id)
    assert found is not None
    assert found.data == {"basket": "full"}
    assert await world.at[SOUTH].update(found, lambda data: data.update(basket="more")) is not None


async def test_of_two_regions_that_adopt_a_lost_region_s_session_one_wins(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"basket": "full"})
    await world.copied()
    world.redis.primaries[WEST].kill()
    first, second = await asyncio.gather(
        world.at[SOUTH].get_session(session.id), world.at[CENTRAL].get_session(session.id)
    )
    assert first is not None
    assert second is not None
    living = [region for region in (SOUTH, CENTRAL) if (world.raw(region, session.id) or b"")[:1] == b"L"]
    assert len(living) == 1


# Unreachable is not absent


async def test_a_session_of_a_region_that_cannot_be_asked_is_not_said_to_be_absent(world: World) -> None:
    world.redis.copies[SOUTH, WEST].process.suspend()
    with pytest.raises(SessionsUnreachable) as caught:
        await world.at[WEST].get_session(new_id())
    assert caught.value.regions == [SOUTH]


async def test_a_copy_that_has_not_heard_of_its_primary_for_long_proves_no_absence(world: World) -> None:
    with world.redis.primaries[SOUTH].client() as client:
        client.set(heartbeat_key(SOUTH), int((time.time() - 60) * 1000))
    await world.copied()
    with pytest.raises(SessionsUnreachable):
        await world.at[WEST].get_session(new_id())


async def test_a_local_session_needs_no_other_region(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    for copy in world.redis.copies.values():
        copy.process.suspend()
    for region in (CENTRAL, SOUTH):
        world.redis.primaries[region].process.suspend()
    assert await world.at[WEST].get_session(session.id) == session


async def test_the_local_store_away_is_said_and_not_taken_for_absence(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    world.redis.primaries[WEST].kill()
    with pytest.raises(SessionsUnreachable):
        await world.at[WEST].get_session(session.id)
    with pytest.raises(SessionsUnreachable):
        await world.at[WEST].update(session, lambda _data: None)


async def test_the_other_regions_are_asked_within_the_deadline(world: World, redis_document: Document) -> None:
    document = redis_document(WEST)
    impatient = msgspec.structs.replace(document.sessions, fallback_deadline_seconds=0.1)
    clients = RedisClients(msgspec.structs.replace(document, sessions=impatient))
    manager = DistributedSessionManager(clients)
    world.redis.copies[SOUTH, WEST].process.suspend()
    began = time.monotonic()
    with pytest.raises(SessionsUnreachable):
        await manager.get_session(new_id())
    assert time.monotonic() - began < 0.2
    await clients.close()


# Log-out


async def test_a_log_out_ends_the_session_in_every_region_at_once(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    reach = await world.at[WEST].delete_session(session.id, session.expires_at)
    assert reach.pending == ()
    assert [(world.raw(region, session.id) or b"")[:1] for region in REGIONS] == [b"G"] * 3
    for region in REGIONS:
        assert await world.at[region].get_session(session.id) is None


async def test_a_save_never_makes_a_session_that_was_ended(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    await world.at[SOUTH].delete_session(session.id)
    assert await world.at[WEST].update(session, lambda data: data.update(late=1)) is None
    assert world.lives_in(session.id) == []


async def test_a_save_never_makes_a_session_that_redis_has_lost(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    with world.redis.primaries[WEST].client() as client:
        client.delete(session_key(WEST, session.id))
    assert await world.at[WEST].update(session, lambda data: data.update(late=1)) is None
    assert world.raw(WEST, session.id) is None


@pytest.mark.parametrize("attempt", range(8))
async def test_a_log_out_during_saves_and_moves_in_other_regions_ends_it_everywhere(world: World, attempt: int) -> None:
    session = await world.at[WEST].create_session(USER)
    await world.copied()

    async def use(region: str) -> None:
        with contextlib.suppress(SessionsUnreachable):
            for _ in range(6):
                found = await world.at[region].get_session(session.id)
                if found is None:
                    return
                await world.at[region].update(found, lambda data: data.update(used=region))

    async def log_out() -> None:
        await asyncio.sleep(attempt * 0.002)
        await world.at[CENTRAL].delete_session(session.id)

    await asyncio.gather(use(WEST), use(SOUTH), log_out())
    assert world.lives_in(session.id) == []
    await world.copied()
    for region in REGIONS:
        assert await world.at[region].get_session(session.id) is None


async def test_all_of_a_user_s_sessions_end_at_once_and_nobody_else_s(world: World) -> None:
    mine = [await world.at[region].create_session(USER) for region in REGIONS]
    other = await world.at[WEST].create_session(uuid4())
    await world.at[SOUTH].delete_sessions_of(USER)
    for session in mine:
        assert world.lives_in(session.id) == []
    assert await world.at[WEST].get_session(other.id) == other


async def test_a_session_begun_after_the_log_out_of_all_is_good(world: World) -> None:
    await world.at[WEST].delete_sessions_of(USER)
    session = await world.at[WEST].create_session(USER)
    assert await world.at[WEST].get_session(session.id) == session


async def test_a_session_on_the_move_does_not_escape_the_log_out_of_all(world: World) -> None:
    from app.session_records import MOVE

    session = await world.at[WEST].create_session(USER)
    await MOVE.run(world.clients[SOUTH].sessions(WEST), [session_key(WEST, session.id)], SOUTH, WEST)
    await world.copied()
    await world.at[CENTRAL].delete_sessions_of(USER)
    for region in REGIONS:
        assert await world.at[region].get_session(session.id) is None
    assert world.lives_in(session.id) == []


async def test_a_log_out_reaches_a_region_that_was_away_when_it_comes_back(world: World) -> None:
    session = await world.at[SOUTH].create_session(USER)
    world.redis.primaries[SOUTH].process.suspend()
    reach = await world.at[WEST].delete_session(session.id)
    assert reach.pending == (SOUTH,)
    world.redis.primaries[SOUTH].process.resume()
    give_up = time.monotonic() + 10
    while (world.raw(SOUTH, session.id) or b"")[:1] != b"G":
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)


async def test_a_region_that_the_writer_cannot_reach_hears_of_a_log_out_from_the_copies(world: World) -> None:
    session = await world.at[SOUTH].create_session(USER)
    everybody_of = uuid4()
    second = await world.at[SOUTH].create_session(everybody_of)
    broken = Endpoint(host="127.0.0.1", port=1, tls=False)
    document = world.clients[WEST].deployment
    cut_off = tuple(
        msgspec.structs.replace(region, sessions=msgspec.structs.replace(region.sessions, primary=broken))
        if region.name == SOUTH
        else region
        for region in document.regions
    )
    clients = RedisClients(msgspec.structs.replace(document, regions=cut_off))
    writer = DistributedSessionManager(clients)
    assert (await writer.delete_session(session.id)).pending == (SOUTH,)
    await writer.delete_sessions_of(everybody_of)
    await world.beat()
    assert await world.at[SOUTH].get_session(session.id) is None
    assert await world.at[SOUTH].get_session(second.id) is None
    await writer.close()
    await clients.close()


async def test_a_log_out_goes_on_when_its_client_leaves(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    task = asyncio.create_task(world.at[WEST].delete_session(session.id))
    await asyncio.sleep(0)
    task.cancel()
    give_up = time.monotonic() + 5
    while [(world.raw(region, session.id) or b"")[:1] for region in REGIONS] != [b"G"] * 3:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


# Encryption


async def test_another_user_s_bytes_are_refused_and_counted(world: World) -> None:
    mine, other = await world.at[WEST].create_session(USER), await world.at[WEST].create_session(uuid4())
    record = world.raw(WEST, other.id)
    assert record is not None
    world.put_raw(WEST, mine.id, record)
    assert await world.at[WEST].get_session(mine.id) is None
    assert world.refused(WEST, "forged") == 1


async def test_another_region_s_bytes_are_refused(world: World) -> None:
    session = await world.at[SOUTH].create_session(USER)
    record = world.raw(SOUTH, session.id)
    assert record is not None
    world.put_raw(WEST, session.id, record)
    assert await world.at[WEST].get_session(session.id) is None
    assert world.refused(WEST, "forged") == 1


async def test_a_record_with_another_version_is_refused(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    record = world.raw(WEST, session.id)
    assert record is not None
    world.put_raw(WEST, session.id, record[:8] + b"\x63" + record[9:])
    assert await world.at[WEST].get_session(session.id) is None
    assert world.refused(WEST, "forged") == 1


def ring(**states: str) -> tuple[SessionKey, ...]:
    return tuple(SessionKey(id=key, state=state) for key, state in states.items())  # type: ignore[arg-type]


async def test_a_key_is_rotated_under_load_and_no_session_is_refused(world: World) -> None:
    begun: list[Session] = []
    served = 0
    ended = asyncio.Event()

    async def load(region: str) -> None:
        nonlocal served
        while not ended.is_set():
            begun.append(await world.at[region].create_session(USER))
            for session in begun[-5:]:
                found = None
                with contextlib.suppress(SessionsUnreachable):
                    found = await world.at[region].get_session(session.id) or await world.at[region].get_session(
                        session.id
                    )
                if found is not None and session.region == region:
                    served += 1
                    await world.at[region].update(found, lambda data: data.update(seen=1))
            await asyncio.sleep(0)

    async def rotate() -> None:
        for step in (ring(k1="active", k2="decrypt"), ring(k1="decrypt", k2="active")):
            for region in REGIONS:  # one region after the other: they differ for a while
                await asyncio.sleep(0.1)
                await world.at[region].reload(with_keyring(world, region, step))
        await asyncio.sleep(0.1)
        ended.set()

    await asyncio.gather(load(WEST), load(SOUTH), rotate())
    await world.copied()
    refused = {
        (region, reason): world.refused(region, reason)
        for region in REGIONS
        for reason in ("forged", "unknown-key", "retired-key", "malformed")
    }
    assert not any(refused.values()), refused
    for session in begun[:: max(1, len(begun) // 50)]:
        assert await world.at[WEST].get_session(session.id) is not None
    assert served > 20


def with_keyring(world: World, region: str, keyring: tuple[SessionKey, ...]) -> Deployment:
    document = world.clients[region].deployment
    return msgspec.structs.replace(document, sessions=msgspec.structs.replace(document.sessions, keyring=keyring))


async def test_a_session_under_a_retired_key_is_a_log_in_again_and_counted(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    await world.at[WEST].reload(with_keyring(world, WEST, ring(k1="retired", k2="active")))
    assert await world.at[WEST].get_session(session.id) is None
    assert world.refused(WEST, "retired-key") == 1


async def test_a_keyring_that_cannot_be_read_leaves_the_old_one_in_use(world: World) -> None:
    from app.session_crypto import KeyringError

    session = await world.at[WEST].create_session(USER)
    with pytest.raises(KeyringError):
        await world.at[WEST].reload(with_keyring(world, WEST, ring(missing="active")))
    assert await world.at[WEST].get_session(session.id) == session


# Touches


async def test_being_used_is_written_once_a_minute_and_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await world.at[WEST].create_session(USER)
    before = world.raw(WEST, session.id)
    world.at[WEST].touch(session)
    await world.at[WEST]._write_touched()
    assert world.raw(WEST, session.id) == before
    monkeypatch.setattr("app.sessions.TOUCH_SECONDS", 0)
    world.at[WEST].touch(session)
    assert world.raw(WEST, session.id) == before
    await world.at[WEST]._write_touched()
    found = await world.at[WEST].get_session(session.id)
    assert found is not None
    assert found.last_accessed > session.last_accessed


def test_a_manager_s_text_shows_no_key(tmp_path: Path) -> None:
    material = secrets.token_bytes(32)
    (tmp_path / "session-key-k1").write_text(base64.b64encode(material).decode())
    from app.session_crypto import SessionKeyring

    loaded = SessionKeyring.load(bare_document(tmp_path))
    assert base64.b64encode(material).decode() not in repr(loaded)
    assert repr(material) not in repr(loaded)
