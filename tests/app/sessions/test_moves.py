"""Sessions that are in another region: moved here, adopted, or not said to be absent while they may be there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import msgspec
import pytest

from app.redis.clients import RedisClients
from app.sessions.cookie import new_id
from app.sessions.manager import DistributedSessionManager, SessionsUnreachable
from app.sessions.records import MOVE, heartbeat_key, session_key
from tests.app.fixtures_redis import REGIONS, Document
from tests.app.fixtures_sessions import CENTRAL, SOUTH, USER, WEST, World


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
def frozen_copies(world: World) -> Iterator[None]:
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


async def test_a_session_on_its_way_to_a_lost_region_is_carried_on_with(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"basket": "full"})
    await MOVE.run(world.clients[SOUTH].sessions(WEST), [session_key(WEST, session.id)], SOUTH, WEST)
    await world.copied()
    world.redis.primaries[SOUTH].kill()
    for region in (WEST, CENTRAL):
        found = await world.at[region].get_session(session.id)
        assert found is not None
        assert found.data == {"basket": "full"}


async def test_a_session_that_had_arrived_in_a_lost_region_is_carried_on_with_as_it_was_there(world: World) -> None:
    session = await world.at[WEST].create_session(USER, data={"basket": "full"})
    moved = await world.at[SOUTH].get_session(session.id)
    assert moved is not None
    assert await world.at[SOUTH].update(moved, lambda data: data.update(basket="more")) is not None
    await world.copied()
    world.redis.primaries[SOUTH].kill()
    found = await world.at[WEST].get_session(session.id)
    assert found is not None
    assert found.data == {"basket": "more"}


async def test_a_session_that_ended_in_a_lost_region_has_ended(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    moved = await world.at[SOUTH].get_session(session.id)
    assert moved is not None
    await world.at[SOUTH].delete_session(session)
    await world.copied()
    world.redis.primaries[SOUTH].kill()
    assert await world.at[WEST].get_session(session.id) is None


async def test_a_copy_that_was_never_filled_does_not_let_a_session_be_carried_on_with(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    await MOVE.run(world.clients[SOUTH].sessions(WEST), [session_key(WEST, session.id)], SOUTH, WEST)
    with world.redis.primaries[SOUTH].client() as client:
        client.delete(heartbeat_key(SOUTH))
    await world.copied()
    world.redis.primaries[SOUTH].kill()
    with pytest.raises(SessionsUnreachable):
        await world.at[CENTRAL].get_session(session.id)


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
