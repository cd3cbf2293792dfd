"""What stands in a store: bytes that are another's are refused, and keys are rotated under load."""

from __future__ import annotations

import asyncio
import contextlib
from uuid import uuid4

import msgspec
import pytest

from app.deployment import SessionKey
from app.sessions.crypto import KeyringError, SessionKeyring
from app.sessions.manager import DistributedSessionManager, Session, SessionsUnreachable
from app.sessions.records import live
from tests.app.fixtures_redis import REGIONS
from tests.app.fixtures_sessions import SOUTH, USER, WEST, World


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


def with_keyring(world: World, region: str, keyring: tuple[SessionKey, ...]) -> DistributedSessionManager:
    """A process of `region` that has started with another keyring."""
    clients = world.clients[region]
    sessions = msgspec.structs.replace(clients.deployment.sessions, keyring=keyring)
    document = msgspec.structs.replace(clients.deployment, sessions=sessions)
    return DistributedSessionManager(clients, SessionKeyring.load(document), metrics=world.metrics[region])


async def test_a_key_is_rotated_under_load_and_no_session_is_refused(world: World) -> None:
    """Each step rolls the processes, one region after the other: they differ for a while."""
    serving = dict(world.at)
    begun: list[Session] = []
    served = 0
    ended = asyncio.Event()

    async def load(region: str) -> None:
        nonlocal served
        while not ended.is_set():
            begun.append(await serving[region].create_session(USER))
            for session in begun[-5:]:
                found = None
                with contextlib.suppress(SessionsUnreachable):
                    found = await serving[region].get_session(session.id)
                    found = found or await serving[region].get_session(session.id)
                if found is not None and session.region == region:
                    served += 1
                    await serving[region].update(found, lambda data: data.update(seen=1))
            await asyncio.sleep(0)

    async def rotate() -> None:
        for step in (ring(k1="active", k2="decrypt"), ring(k1="decrypt", k2="active")):
            for region in REGIONS:
                await asyncio.sleep(0.1)
                serving[region] = with_keyring(world, region, step)
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
        assert await serving[WEST].get_session(session.id) is not None
    assert served > 20


async def test_a_session_under_a_retired_key_is_a_log_in_again_and_counted(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    after = with_keyring(world, WEST, ring(k1="retired", k2="active"))
    assert await after.get_session(session.id) is None
    assert world.refused(WEST, "retired-key") == 1


async def test_a_session_under_a_key_that_this_process_has_not_got_yet_may_well_be_good(world: World) -> None:
    session = await with_keyring(world, WEST, ring(k1="decrypt", k2="active")).create_session(USER)
    with pytest.raises(SessionsUnreachable):
        await world.at[WEST].get_session(session.id)
    assert world.refused(WEST, "unknown-key") == 1


async def test_a_keyring_without_its_key_s_file_is_not_taken(world: World) -> None:
    with pytest.raises(KeyringError):
        with_keyring(world, WEST, ring(missing="active"))


@pytest.mark.parametrize(
    "record",
    [b"", b"X", b"L", b"M", b"M" + bytes(8) + b"\x09eu", b"M" + bytes(8) + b"\x02\xff\xff\x01x", b"Z" + bytes(40)],
    ids=["nothing", "of no kind", "a cut L", "a cut M", "a cut region", "a region of no text", "of a later version"],
)
async def test_a_record_of_another_version_is_no_session_and_counted(world: World, record: bytes) -> None:
    session = await world.at[WEST].create_session(USER)
    world.put_raw(WEST, session.id, record)
    assert await world.at[WEST].get_session(session.id) is None
    assert world.refused(WEST, "malformed") == 1


async def test_a_payload_of_another_version_is_no_session_and_counted(world: World) -> None:
    session = await world.at[WEST].create_session(USER)
    ring = SessionKeyring.load(world.clients[WEST].deployment)
    envelope = ring.seal(msgspec.msgpack.encode(["later"]), 1, WEST, session.id)
    world.put_raw(WEST, session.id, live(1, envelope))
    assert await world.at[WEST].get_session(session.id) is None
    assert world.refused(WEST, "malformed") == 1
