"""Sessions: reading one next to a bare GET on the same connection, and opening one next to MultiFernet."""

from __future__ import annotations

import secrets
import time
from uuid import UUID

import msgspec

from app.sessions.cookie import new_id
from app.sessions.crypto import SessionKeyring
from app.sessions.manager import DistributedSessionManager
from app.sessions.records import session_key
from bench.app import Measured, Measurement, interleaved, seconds_of_each
from bench.app.redis_servers import region

ROUND_TRIPS = 1_000
OPENS = 5_000
DATA = {"floor": "1:1:23456789", "locale": "en-US", "seen": 1_770_000_000, "roles": ["crew", "eva"], "note": "x" * 64}


async def _session_get() -> Measured:
    async with region() as clients:
        manager = DistributedSessionManager(clients)
        session = await manager.create_session(UUID(int=1), data=DATA)
        assert await manager.get_session(session.id) == session
        lane, key = clients.sessions("bench"), session_key("bench", session.id)
        measured = await interleaved(
            seconds_of_each(ROUND_TRIPS, manager.get_session, session.id),
            seconds_of_each(ROUND_TRIPS, lane.get, key),
            "cost",
        )
        await manager.close()
        return measured


async def _session_open() -> Measured:
    from cryptography.fernet import Fernet, MultiFernet

    payload = msgspec.msgpack.encode(DATA)
    ring = SessionKeyring(
        {key: (state, secrets.token_bytes(32)) for key, state in (("k1", "decrypt"), ("k2", "active"))}
    )
    session_id = new_id()
    envelope = ring.seal(payload, 1, "us-west", session_id)
    fernet = MultiFernet([Fernet(Fernet.generate_key()) for _ in range(2)])
    token = fernet.encrypt(payload)
    assert ring.open(envelope, 1, "us-west", session_id) == fernet.decrypt(token) == payload

    async def ours() -> float:
        began = time.perf_counter()
        for _ in range(OPENS):
            ring.open(envelope, 1, "us-west", session_id)
        return (time.perf_counter() - began) / OPENS

    async def theirs() -> float:
        began = time.perf_counter()
        for _ in range(OPENS):
            fernet.decrypt(token)
        return (time.perf_counter() - began) / OPENS

    return await interleaved(ours, theirs, "speed")


MEASUREMENTS = [
    Measurement("session get", "a bare GET on the same connection", "at most", 1.15, _session_get, "redis"),
    Measurement("session open", "MultiFernet, its first key", "at least", 5, _session_open, "cryptography"),
]
