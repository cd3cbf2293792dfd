"""`DistributedSessionManager` (section 7): sessions in Redis, encrypted, in the user's region, valid in all.

A session lives in one region: `session:<region>:<id>` in that region's store (stores.py). It is read from the
local store first and then from the other regions' copies here, all at once; found, it moves here
(moves.py), by one atomic step on the server that owns it (records.py). Its end is fixed when it
begins, `ttl_seconds` later, and moves with it; a log-out (log_out.py) ends it before, everywhere.

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
from app.deployment import Deployment
from app.metrics import KeySample
from app.redis.away import AWAY, BreakerOpen, is_away
from app.sessions.affinity import Affinity
from app.sessions.cookie import is_id, new_id
from app.sessions.crypto import SessionKeyring
from app.sessions.log_out import LogOut, SessionLogOuts
from app.sessions.moves import SessionMoves
from app.sessions.records import revoked_key
from app.sessions.stores import Session, SessionsUnreachable

__all__ = ["ClientInfo", "DistributedSessionManager", "LogOut", "Session", "SessionsUnreachable"]

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


class DistributedSessionManager(SessionMoves, SessionLogOuts):
    """Sessions of one process. `start` before use (heartbeat, revocations, touches), `close` at the end."""

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
        breaker = self._local_breaker
        try:
            breaker.check()
        except BreakerOpen as error:
            raise SessionsUnreachable([self._region]) from error
        try:
            record = await self._clients.sessions(self._region).get(self._local_prefix + session_id)
        except BaseException as error:
            breaker.error(error)
            if not is_away(error):
                raise
            raise SessionsUnreachable([self._region]) from error
        breaker.success()
        if record is not None:
            kind = record[0]
            if kind == 76:  # L
                return self._opened(record, self._region, session_id)
            if kind == 71:  # G
                return None
        return await self._find_elsewhere(session_id, record)

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
            id=new_id(), user_id=user_id, region=wanted, created_at=now, last_accessed=now,
            expires_at=now + self._config.ttl_seconds, data=dict(data or {}),
        )  # fmt: skip
        for region in dict.fromkeys((wanted, self._region)):
            session.region = region
            with contextlib.suppress(*AWAY):
                answer = await self._put(session)
                if answer[0] == b"ok":
                    return session
                # A log-out of all the user's sessions has a clock ahead of ours: begin just after it.
                session.created_at = session.last_accessed = await self._after_revocation(session)
                if (await self._put(session))[0] == b"ok":
                    return session
        raise SessionsUnreachable(list(dict.fromkeys((wanted, self._region))))

    async def renew(self, session: Session | None, user_id: UUID, client: ClientInfo | None = None) -> Session:
        """What log-in calls: a session with a new id, and the one before (whoever's) ended.

        The new one begins with nothing of the old one's data: it may be another user's, or planted.
        Raises: SessionsUnreachable.
        """
        fresh = await self.create_session(user_id, client)
        if session is not None:
            await self.delete_session(session.id, session.expires_at)
        return fresh

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
            answer = await self._save(current, fresh)
            if answer[0] == b"ok":
                self._touched.pop(session.id, None)
                return fresh
            if answer[0] == b"conflict":
                current = self._opened(answer[1], current.region, session.id)
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

    async def _after_revocation(self, session: Session) -> float:
        before = await self._clients.sessions(session.region).get(revoked_key(session.region, str(session.user_id)))
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
        """Begin to follow revocations and to write touches."""
        self._rounds = [
            Background(work) for work in (self._revocations.beat, self._revocations.follow, self._flush_touched)
        ]

    async def close(self) -> None:
        """Write what is touched, and stop."""
        for work in self._rounds:
            await work.close()
        self._rounds = []
        await self._write_touched()
        await self._pending.close()

    async def reload(self, deployment: Deployment) -> None:
        """Take a new document: keyring, regions, networks. The old keyring stays when the new one cannot be read.

        Raises: KeyringError.
        """
        self._keyring = SessionKeyring.load(deployment, before=self._keyring)
        self._config = deployment.sessions
        self._affinity = Affinity(deployment)

    def key_samples(self) -> list[KeySample]:
        """The active key and its age: give this method to `Metrics.session_keys`."""
        return list(self._keyring.samples())
