"""An answer of a session store that is an error is told, logged and counted, never taken for a store that is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest
from redis.exceptions import ResponseError

from app.redis.clients import Script
from app.sessions import log_out, moves, revocations, stores
from app.sessions.manager import Session
from tests.app.fixtures_sessions import SOUTH, USER, WEST, World

BROKEN = Script("this is no lua")


def wrong_answers(world: World) -> int:
    return sum(sample.wrong for manager in world.at.values() for sample in manager._stores._breakers.samples())


def told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It was logged as an error and counted, and every breaker is closed: the servers are well."""
    assert [record for record in caplog.records if record.levelno == logging.ERROR]
    assert wrong_answers(world) > 0
    assert all(sample.state == 0 for manager in world.at.values() for sample in manager._stores._breakers.samples())


Use = Callable[[World, Session], Awaitable[object]]

USES: list[tuple[object, str, Use]] = [
    (stores, "PUT", lambda world, _: world.at[WEST].create_session(uuid4())),
    (stores, "SAVE", lambda world, session: world.at[WEST].update(session, lambda data: data.update(a=1))),
    (moves, "MOVE", lambda world, session: world.at[SOUTH].get_session(session.id)),
    (log_out, "REVOKE", lambda world, session: world.at[WEST].delete_session(session)),
    (log_out, "REVOKE_USER", lambda world, _: world.at[WEST].delete_sessions_of(USER)),
]


@pytest.mark.parametrize(("module", "script", "use"), USES, ids=[script for _, script, _ in USES])
async def test_a_broken_script_says_so(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: object,
    script: str,
    use: Use,
) -> None:
    session = await world.at[WEST].create_session(USER)
    await world.copied()
    monkeypatch.setattr(module, script, BROKEN)
    with pytest.raises(ResponseError):
        await use(world, session)
    told(world, caplog)


async def test_an_adoption_whose_script_is_broken_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    session = await world.at[SOUTH].create_session(USER)
    await world.copied()
    world.redis.primaries[SOUTH].process.suspend()
    monkeypatch.setattr(moves, "ADOPT", BROKEN)
    try:
        with pytest.raises(ResponseError):
            await world.at[WEST].get_session(session.id)  # the arbiter is another region
    finally:
        world.redis.primaries[SOUTH].process.resume()
    told(world, caplog)


async def test_a_heartbeat_whose_script_is_broken_says_so_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(revocations, "BEAT", BROKEN)
        await world.at[WEST].start()
        await asyncio.sleep(0.2)
        told(world, caplog)
    before = wrong_answers(world)
    await asyncio.sleep(2.5)  # begun again within a second
    assert wrong_answers(world) <= before + 1
