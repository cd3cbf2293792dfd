"""`DistributedSessionManager` (section 7): sessions in Redis, encrypted, in the user's region, valid in all.

A session lives in one region: `session:<region>:<digest of its id>` in that region's store (stores.py). It is read from
the local store first and then from the other regions' copies here, all at once; found, it moves here (moves.py), by one
atomic step on the server that owns it (records.py). Its end is fixed when it begins,
`ttl_seconds` later, and moves with it; a log-out (log_out.py) ends it before, everywhere.

What can be said of an id is: here it is; there is none (nobody has it, or it was revoked); or that not everybody
could be asked, which is `SessionsUnreachable` and never "none".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from app.background import Background
from app.metrics import KeySample, Metrics
from app.redis.away import AWAY
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients
from app.sessions.affinity import Affinity
from app.sessions.cookie import is_id, new_id
from app.sessions.crypto import SessionKeyring
from app.sessions.log_out import LogOuts
from app.sessions.moves import SessionMoves
from app.sessions.records import is_gone, is_live, revoked_key
from app.sessions.stores import Session, SessionStores, SessionsUnreachable

__all__ = ["ClientInfo", "DistributedSessionManager", "Session", "SessionsUnreachable"]

log = logging.getLogger(__name__)

TOUCH_SECONDS = 60.0
"""`last_accessed` is written when it is older than this, not with every request."""
FLUSH_SECONDS = 5.0
"""How often touched sessions are written."""
ATTEMPTS = 8
"""Most tries of a change that others keep overtaking."""


class ClientInfo(msgspec.Struct, frozen=True):
    """What is known of a client: its address as the edge saw it, and the edge's headers by lower-case name."""

    ip_address: str = ""
    headers: Mapping[str, str] = {}


class DistributedSessionManager:
    """Sessions of one process. `start` before use (heartbeat, revocations, touches), `close` at the end."""

    def __init__(
        self,
        clients: RedisClients,
        keyring: SessionKeyring | None = None,
        breakers: Breakers | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        deployment = clients.deployment
        self._keyring = keyring or SessionKeyring.load(deployment)
        self._stores = SessionStores(clients, self._keyring, breakers or Breakers(), metrics)
        self._moves = SessionMoves(self._stores)
        self._log_outs = LogOuts(self._stores)
        self._affinity = Affinity(deployment)
        self._region = deployment.region
        self._touched: dict[str, Session] = {}
        self._rounds: list[Background] = []

    def determine_region(self, client: ClientInfo) -> str:
        """The region a client belongs to (app/sessions/affinity.py)."""
        return self._affinity.determine_region(client.headers, client.ip_address)

    # Reading

    async def get_session(self, session_id: str) -> Session | None:
        """The session, moved to this region where it was in another; None where there is none, or it was revoked.

        Raises: SessionsUnreachable when that cannot be said.
        """
        if not is_id(session_id):
            return None
        record = await self._stores.read(session_id)
        if record is not None and is_live(record):
            return self._stores.opened(record, self._region, session_id)
        if record is not None and is_gone(record):
            return None
        return await self._moves.find(session_id, record)

    # Writing

    async def create_session(
        self, user_id: UUID, client: ClientInfo | None = None, data: dict[str, Any] | None = None
    ) -> Session:
        """Begin a session in the client's region, or here where that region does not answer. The id is new.

        Raises: SessionsUnreachable when this region's store does not answer either.
        """
        now = time.time()
        wanted = self.determine_region(client) if client is not None else self._region
        session = Session(
            id=new_id(),
            user_id=user_id,
            region=wanted,
            created_at=now,
            last_accessed=now,
            expires_at=now + self._stores.config.ttl_seconds,
            data=dict(data or {}),
        )
        for region in dict.fromkeys((wanted, self._region)):
            session.region = region
            with contextlib.suppress(*AWAY):
                answer = await self._stores.put(session)
                if answer[0] == b"ok":
                    return session
                # A log-out of all the user's sessions has a clock ahead of ours: begin just after it.
                session.created_at = session.last_accessed = await self._after_revocation(session)
                if (await self._stores.put(session))[0] == b"ok":
                    return session
        raise SessionsUnreachable(list(dict.fromkeys((wanted, self._region))))

    async def renew(self, session: Session | None, user_id: UUID, client: ClientInfo | None = None) -> Session:
        """What log-in calls: a session with a new id, and the one before (whoever's) ended.

        The new one begins with nothing of the old one's data: it may be another user's, or planted.
        Raises: SessionsUnreachable.
        """
        fresh = await self.create_session(user_id, client)
        if session is not None:
            with contextlib.suppress(SessionsUnreachable):  # it is tried on
                await self.delete_session(session)
        return fresh

    async def delete_session(self, session: Session) -> tuple[str, ...]:
        """End a session everywhere at once; the regions that are still being told (app/sessions/log_out.py).

        Raises: SessionsUnreachable where the region that has it did not take it: it is not ended then.
        """
        self._touched.pop(session.id, None)
        return await self._log_outs.end(session.id, session.expires_at, session.region)

    async def delete_sessions_of(self, user_id: UUID) -> None:
        """Log the user out everywhere. Raises: SessionsUnreachable where a region has not taken it yet."""
        await self._log_outs.end_all(user_id)

    async def update(self, session: Session, change: Callable[[dict[str, Any]], object]) -> Session | None:
        """Apply `change` to the data and store it; the session as stored, or None where it has ended meanwhile.

        Where somebody else has changed it first, `change` is applied again to what they stored: it may run
        more than once. A session that ended is never made again. Raises: SessionsUnreachable.
        """
        current: Session | None = session
        for _ in range(ATTEMPTS):
            assert current is not None
            fresh = msgspec.structs.replace(
                current, data=dict(current.data), last_accessed=time.time(), version=current.version + 1
            )
            change(fresh.data)
            answer = await self._stores.save(current, fresh)
            if answer[0] == b"ok":
                self._touched.pop(session.id, None)
                return fresh
            if answer[0] == b"conflict":
                current = self._stores.opened(answer[1], current.region, session.id)
            elif answer[0] == b"moved":
                current = await self.get_session(session.id)
            else:
                current = None
            if current is None:
                return None
        raise SessionsUnreachable([self._region])

    def touch(self, session: Session) -> None:
        """The session was used: `last_accessed` is written within some seconds, once a minute at most."""
        if time.time() - session.last_accessed > TOUCH_SECONDS:
            self._touched.setdefault(session.id, session)

    def is_revoked(self, session: Session) -> bool:
        """Whether this process has heard that the session was ended, here or anywhere. Asks nobody."""
        return self._stores.revocations.covers(session.id, str(session.user_id), session.created_at)

    async def _after_revocation(self, session: Session) -> float:
        before = await self._stores.clients.sessions(session.region).get(
            revoked_key(session.region, str(session.user_id))
        )
        return max(time.time(), (int(before or 0) + 1) / 1000)

    async def _flush_touched(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self._write_touched()

    async def _write_touched(self) -> None:
        touched, self._touched = self._touched, {}
        for session in touched.values():
            try:
                await self.update(session, lambda _data: None)
            except SessionsUnreachable as error:
                log.warning("a session's last access was not written: %s", error)

    # Life

    async def start(self) -> None:
        """Hear what was revoked before, then begin to follow it and to write touches."""
        await self._stores.revocations.catch_up()
        self._rounds = [
            Background(work)
            for work in (self._stores.revocations.beat, self._stores.revocations.follow, self._flush_touched)
        ]

    async def close(self) -> None:
        """Write what is touched, and stop."""
        for work in self._rounds:
            await work.close()
        self._rounds = []
        await self._write_touched()
        await self._stores.pending.close()

    def key_samples(self) -> list[KeySample]:
        """The active key and its age: give this method to `Metrics.session_keys`."""
        return list(self._keyring.samples())
