"""Sessions begun, read, changed and renewed, in a region of real Redis among three."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import uuid4

import pytest

from app.sessions.cookie import is_id, new_id
from app.sessions.manager import ClientInfo, SessionsUnreachable
from app.sessions.records import digest, session_key
from tests.app.fixtures_sessions import SOUTH, USER, WEST, World


async def test_a_session_lives_an_hour_under_the_specification_s_key(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    with world.redis.primaries[WEST].client() as client:
        assert 3590 < client.ttl(f"session:us-west:{digest(session.id)}") <= 3600
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


async def test_the_local_store_away_is_said_and_not_taken_for_absence(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    world.redis.primaries[WEST].kill()
    with pytest.raises(SessionsUnreachable):
        await world.at[WEST].get_session(session.id)
    with pytest.raises(SessionsUnreachable):
        await world.at[WEST].update(session, lambda _data: None)


# Touches


async def test_being_used_is_written_once_a_minute_and_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await world.at[WEST].create_session(USER)
    before = world.raw(WEST, session.id)
    world.at[WEST].touch(session)
    await world.at[WEST]._write_touched()
    assert world.raw(WEST, session.id) == before
    monkeypatch.setattr("app.sessions.manager.TOUCH_SECONDS", 0)
    world.at[WEST].touch(session)
    assert world.raw(WEST, session.id) == before
    await world.at[WEST]._write_touched()
    found = await world.at[WEST].get_session(session.id)
    assert found is not None
    assert found.last_accessed > session.last_accessed


async def test_who_reads_a_store_s_keys_and_lists_cannot_log_in_with_what_stands_there(world: World) -> None:
    session, ended = await world.at[WEST].create_session(USER), await world.at[WEST].create_session(USER)
    await world.at[WEST].delete_session(ended)
    seen: set[str] = set()
    with world.redis.primaries[WEST].client() as client:
        for key in client.scan_iter():
            seen.update(key.decode().split(":"))
            kind = client.type(key)
            if kind == b"set":
                seen.update(member.decode() for member in client.smembers(key))
            elif kind == b"zset":
                seen.update(member.decode().partition(":")[2] for member in client.zrange(key, 0, -1))
    assert {digest(session.id), digest(ended.id)} <= seen
    assert not {session.id, ended.id} & seen
    for candidate in seen:
        assert await world.at[WEST].get_session(candidate) is None
