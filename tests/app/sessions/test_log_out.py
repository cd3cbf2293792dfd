"""Log-outs: of a session, of all of a user's, in every region, those also that cannot be reached."""

from __future__ import annotations

import asyncio
import contextlib
import time
from uuid import uuid4

import msgspec
import pytest

from app.deployment import Endpoint
from app.redis.clients import RedisClients
from app.sessions.manager import DistributedSessionManager, SessionsUnreachable
from app.sessions.records import MOVE, session_key
from tests.app.fixtures_redis import REGIONS
from tests.app.fixtures_sessions import CENTRAL, SOUTH, USER, WEST, World


async def test_a_log_out_ends_the_session_in_every_region_at_once(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    assert await world.at[WEST].delete_session(session) == ()
    assert [(world.raw(region, session.id) or b"")[:1] for region in REGIONS] == [b"G"] * 3
    for region in REGIONS:
        assert await world.at[region].get_session(session.id) is None


async def test_a_save_never_makes_a_session_that_was_ended(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    await world.at[SOUTH].delete_session(session)
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
        await world.at[CENTRAL].delete_session(session)

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
    with pytest.raises(SessionsUnreachable):  # not acknowledged: the region that has it did not take it
        await world.at[WEST].delete_session(session)
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
    with pytest.raises(SessionsUnreachable):
        await writer.delete_session(session)
    with pytest.raises(SessionsUnreachable):
        await writer.delete_sessions_of(everybody_of)
    await world.beat()
    assert await world.at[SOUTH].get_session(session.id) is None
    assert await world.at[SOUTH].get_session(second.id) is None
    await writer.close()
    await clients.close()


async def test_a_log_out_goes_on_when_its_client_leaves(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    task = asyncio.create_task(world.at[WEST].delete_session(session))
    await asyncio.sleep(0)
    task.cancel()
    give_up = time.monotonic() + 5
    while [(world.raw(region, session.id) or b"")[:1] for region in REGIONS] != [b"G"] * 3:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


async def test_a_region_that_only_hears_of_it_late_does_not_hold_up_the_answer(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    world.redis.primaries[SOUTH].process.suspend()
    try:
        assert await world.at[WEST].delete_session(session) == (SOUTH,)
    finally:
        world.redis.primaries[SOUTH].process.resume()


@pytest.mark.parametrize("everywhere", [False, True], ids=["one session", "all of them"])
async def test_a_log_out_that_a_full_store_refused_is_not_acknowledged_and_is_tried_on(
    world: World, everywhere: bool
) -> None:
    session = await world.at[WEST].create_session(USER)
    manager = world.at[WEST]
    with world.redis.primaries[WEST].client() as client:
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(SessionsUnreachable):
                await (manager.delete_sessions_of(USER) if everywhere else manager.delete_session(session))
            assert (world.raw(WEST, session.id) or b"")[:1] == b"L"
        finally:
            client.config_set("maxmemory", "0")
    give_up = time.monotonic() + 10
    while (world.raw(WEST, session.id) or b"")[:1] != b"G":
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("everywhere", [False, True], ids=["one session", "all of them"])
async def test_a_process_that_has_just_started_does_not_accept_what_was_revoked(world: World, everywhere: bool) -> None:
    """The region that has the session never took the log-out; the others' lists are here, and are read first."""
    session = await world.at[SOUTH].create_session(USER)
    record = world.raw(SOUTH, session.id)
    assert record is not None
    if everywhere:
        await world.at[WEST].delete_sessions_of(USER)
    else:
        await world.at[WEST].delete_session(session)
    with world.redis.primaries[SOUTH].client() as client:
        client.flushall()
    world.put_raw(SOUTH, session.id, record)
    await world.copied()
    fresh = DistributedSessionManager(world.clients[SOUTH])
    await fresh.start()
    try:
        assert await fresh.get_session(session.id) is None
    finally:
        await fresh.close()


async def test_a_process_whose_clock_is_ahead_deafens_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists are in the servers' own time."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    ahead = await world.at[CENTRAL].create_session(USER)
    await world.at[CENTRAL].delete_session(ahead)
    monkeypatch.setattr(time, "time", now)
    await world.beat()
    session = await world.at[SOUTH].create_session(USER)
    record = world.raw(SOUTH, session.id)
    assert record is not None
    await world.at[CENTRAL].delete_session(session)
    world.put_raw(SOUTH, session.id, record)
    await world.beat()
    assert await world.at[SOUTH].get_session(session.id) is None
