"""`SessionStores`: the stores of every region as one process has them, and how a session stands in them.

What moves (moves.py), log-outs (log_out.py) and the manager (manager.py) share: each of them holds this one.
"""

from __future__ import annotations

import logging
import time
from typing import Any
from uuid import UUID

import msgspec

from app.metrics import Metrics
from app.redis.away import AWAY
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients, Script
from app.sessions.crypto import SessionKeyring, SessionRefused
from app.sessions.records import (
    PUT,
    SAVE,
    digest,
    index_key,
    live,
    revoked_key,
    session_key,
    session_prefix,
    version_of,
)
from app.sessions.revocations import Pending, Revocations

log = logging.getLogger(__name__)


class SessionsUnreachable(Exception):
    """Not every region that may hold the session could be asked: it may exist. `regions` did not answer."""

    def __init__(self, regions: list[str]) -> None:
        super().__init__(f"the session may be in {', '.join(regions)}, which did not answer")
        self.regions = regions


class Session(msgspec.Struct, kw_only=True):
    """A user's session. Times are seconds since 1970. `version` grows with every write, over all regions.

    `data` holds what msgpack can. Change it through `DistributedSessionManager.update`.
    """

    id: str
    user_id: UUID
    region: str
    created_at: float
    last_accessed: float
    expires_at: float
    data: dict[str, Any] = {}
    version: int = 1

    @property
    def max_age(self) -> int:
        """Whole seconds left, for the cookie."""
        return max(0, int(self.expires_at - time.time()))


class _Payload(msgspec.Struct, array_like=True):
    """What is encrypted; the id, the region and the version are bound to it instead (AAD)."""

    user_id: UUID
    created_at: float
    last_accessed: float
    expires_at: float
    data: dict[str, Any]


class SessionStores:
    """The stores by region, the keyring, the breakers, and what was revoked. `region` is this process's own."""

    def __init__(
        self, clients: RedisClients, keyring: SessionKeyring, breakers: Breakers, metrics: Metrics | None
    ) -> None:
        self.clients = clients
        self.config = clients.deployment.sessions
        self.region = clients.region
        self.metrics = metrics
        self.revocations = Revocations(clients, breakers, self.config.ttl_seconds)
        self.pending = Pending()
        self._keyring = keyring
        self._breakers = breakers
        self._prefix = session_prefix(self.region)
        self._breaker = breakers.get("sessions", self.region)
        self._encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
        self._decode = msgspec.msgpack.Decoder(_Payload).decode

    async def read(self, session_id: str) -> bytes | None:
        """The record in this region's store. Raises: SessionsUnreachable."""
        breaker = self._breaker
        if not breaker.closed:
            return await self._read_carefully(session_id)
        try:
            record: bytes | None = await self.clients.sessions(self.region).get(self._prefix + digest(session_id))
        except BaseException as error:
            breaker.error(error)
            if not isinstance(error, AWAY):
                raise
            raise SessionsUnreachable([self.region]) from error
        breaker.success()
        return record

    async def _read_carefully(self, session_id: str) -> bytes | None:
        """As `read`, while the store is failing: refused at once but for the breaker's probe."""
        try:
            record: bytes | None = await self._breaker.call(
                lambda: self.clients.sessions(self.region).get(self._prefix + digest(session_id))
            )
        except AWAY as error:
            raise SessionsUnreachable([self.region]) from error
        return record

    async def run(self, script: Script, region: str, keys: list[str], *args: str | bytes | float) -> Any:
        """A script's answer from a region's store. Raises: one of AWAY."""
        client = self.clients.sessions(region)
        return await self._breakers.get("sessions-write", region).call(lambda: script.run(client, keys, *args))

    async def ask_copy(self, region: str, *keys: str) -> list[bytes | None]:
        """Values in the copy here of another region's store. Raises: one of AWAY."""
        found: list[bytes | None] = await self._breakers.get("session-copy", region).call(
            lambda: self.clients.session_copy(region).execute_command("MGET", *keys)
        )
        return found

    async def put(self, session: Session) -> Any:
        """Store a session that begins or arrives in its region. Raises: one of AWAY."""
        region, user = session.region, str(session.user_id)
        return await self.run(
            PUT,
            region,
            [session_key(region, session.id), revoked_key(region, user), index_key(region, user)],
            self._sealed(session),
            session.version,
            int(session.expires_at * 1000),
            int(session.created_at * 1000),
            digest(session.id),
            self.keep_ms,
        )

    async def save(self, before: Session, after: Session) -> Any:
        """Store a session's change where it lives. Raises: SessionsUnreachable."""
        region = before.region
        try:
            return await self.run(
                SAVE,
                region,
                [session_key(region, before.id), revoked_key(region, str(before.user_id))],
                before.version,
                self._sealed(after),
                int(after.expires_at * 1000),
                int(after.created_at * 1000),
            )
        except AWAY as error:
            raise SessionsUnreachable([region]) from error

    def opened(self, record: bytes, region: str, session_id: str) -> Session | None:
        """The session in an L record of `region`; None where it ended, or its bytes are refused, which is counted.

        Raises: SessionsUnreachable for a key that this process has not got yet: another one may open it.
        """
        version = version_of(record)
        try:
            payload = self._decode(self._keyring.open(record[9:], version, region, session_id))
        except SessionRefused as error:
            self.refused(error.reason)
            if error.reason == "unknown-key":
                raise SessionsUnreachable([region]) from error
            return None
        except msgspec.MsgspecError:
            self.refused("malformed")
            return None
        if payload.expires_at <= time.time():
            return None
        revoked = self.revocations
        if (revoked.sessions or revoked.users) and revoked.covers(session_id, str(payload.user_id), payload.created_at):
            return None
        return Session(
            id=session_id,
            user_id=payload.user_id,
            region=region,
            created_at=payload.created_at,
            last_accessed=payload.last_accessed,
            expires_at=payload.expires_at,
            data=payload.data,
            version=version,
        )

    def refused(self, reason: str) -> None:
        """Count a record that is no session here and now: its user logs in again."""
        if self.metrics is not None:
            self.metrics.sessions_refused.labels(reason=reason).inc()
        log.warning("a stored session was refused: %s", reason)

    @property
    def keep_ms(self) -> int:
        """How long what outlives a session is kept: a session's lifetime."""
        return int(self.config.ttl_seconds * 1000)

    def _sealed(self, session: Session) -> bytes:
        payload = _Payload(session.user_id, session.created_at, session.last_accessed, session.expires_at, session.data)
        envelope = self._keyring.seal(self._encode(payload), session.version, session.region, session.id)
        return live(session.version, envelope)
