"""`SessionStores`: a session, and how it stands in a region's store: sealed, opened, put, saved.

What the manager's parts (moves.py, log_out.py, sessions.py) have in common.
"""

from __future__ import annotations

import logging
import time
from typing import Any
from uuid import UUID

import msgspec

from app.background import Background
from app.metrics import Metrics
from app.redis.away import AWAY
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients, Script
from app.sessions.affinity import Affinity
from app.sessions.crypto import SessionKeyring, SessionRefused
from app.sessions.records import PUT, SAVE, index_key, live, revoked_key, session_key, version_of
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
    """What the parts of `DistributedSessionManager` share: the stores of every region, keyring, breakers, what was revoked."""

    def __init__(
        self,
        clients: RedisClients,
        keyring: SessionKeyring | None = None,
        breakers: Breakers | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        deployment = clients.deployment
        self._clients = clients
        self._config = deployment.sessions
        self._region = deployment.region
        self._keyring = keyring or SessionKeyring.load(deployment)
        self._affinity = Affinity(deployment)
        self._breakers = breakers or Breakers()
        self._metrics = metrics
        self._revocations = Revocations(clients, self._breakers, self._config.ttl_seconds)
        self._pending = Pending()
        self._touched: dict[str, Session] = {}
        self._rounds: list[Background] = []
        self._encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
        self._decode = msgspec.msgpack.Decoder(_Payload).decode
        self._local_prefix = session_key(self._region, "")
        self._local_breaker = self._breakers.get("sessions", self._region)

    def _opened(self, record: bytes, region: str, session_id: str) -> Session | None:
        """The session in an L record of `region`; None where it ended or its bytes are refused."""
        version = version_of(record)
        try:
            payload = self._decode(self._keyring.open(record[9:], version, region, session_id))
        except (SessionRefused, msgspec.MsgspecError) as error:
            reason = error.reason if isinstance(error, SessionRefused) else "malformed"
            if self._metrics is not None:
                self._metrics.sessions_refused.labels(reason=reason).inc()
            log.warning("a stored session was refused: %s", reason)
            return None
        if payload.expires_at <= time.time():
            return None
        revoked = self._revocations
        if (revoked.sessions or revoked.users) and revoked.covers(session_id, str(payload.user_id), payload.created_at):
            return None
        return Session(
            id=session_id, user_id=payload.user_id, region=region, created_at=payload.created_at,
            last_accessed=payload.last_accessed, expires_at=payload.expires_at, data=payload.data, version=version,
        )  # fmt: skip

    def _sealed(self, session: Session) -> bytes:
        payload = _Payload(
            session.user_id, session.created_at, session.last_accessed, session.expires_at, session.data
        )  # fmt: skip
        envelope = self._keyring.seal(self._encode(payload), session.version, session.region, session.id)
        return live(session.version, envelope)

    @property
    def _keep_ms(self) -> int:
        return int(self._config.ttl_seconds * 1000)

    async def _script(self, script: Script, region: str, keys: list[str], *args: str | bytes | float) -> Any:
        client = self._clients.sessions(region)
        return await self._breakers.get("sessions-write", region).call(lambda: script.run(client, keys, *args))

    async def _put(self, session: Session) -> Any:
        region, user = session.region, str(session.user_id)
        return await self._script(
            PUT, region, [session_key(region, session.id), revoked_key(region, user), index_key(region, user)],
            self._sealed(session), session.version, int(session.expires_at * 1000), int(session.created_at * 1000),
            session.id, self._keep_ms,
        )  # fmt: skip

    async def _save(self, before: Session, after: Session) -> Any:
        region = before.region
        try:
            return await self._script(
                SAVE, region, [session_key(region, before.id), revoked_key(region, str(before.user_id))],
                before.version, self._sealed(after), int(after.expires_at * 1000), int(after.created_at * 1000),
            )  # fmt: skip
        except AWAY as error:
            raise SessionsUnreachable([region]) from error
