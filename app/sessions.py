"""`DistributedSessionManager` (section 7): sessions in Redis, encrypted, in the user's region, valid in all.

A session lives in one region: `session:<region>:<id>` in that region's store. It is read from the local store first
and then from the other regions' copies here, all at once; found, it moves here, by one atomic step on the server
that owns it (session_records.py). Its end is fixed when it begins, `ttl_seconds` later, and moves with it.

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

from app.affinity import Affinity
from app.breakers import Breakers
from app.deployment import Deployment
from app.metrics import KeySample, Metrics
from app.redis_clients import RedisClients, Script
from app.revocations import AWAY, Pending, Revocations
from app.session_cookie import is_id, new_id
from app.session_crypto import SessionKeyring, SessionRefused
from app.session_records import (
    ADOPT,
    MOVE,
    PUT,
    REVOKE,
    REVOKE_USER,
    SAVE,
    Move,
    heartbeat_key,
    index_key,
    live,
    revocations_key,
    revoked_key,
    session_key,
    version_of,
)

log = logging.getLogger(__name__)

TOUCH_SECONDS = 60.0
"""`last_accessed` is written when it is older than this, not with every request."""
FLUSH_SECONDS = 5.0
"""How often touched sessions are written."""
COPY_SECONDS = 10.0
"""A copy whose primary's heartbeat is older says nothing about what it does not hold."""
HOPS = 6
"""Most regions a session is followed through: it moves at human speed, so more is a broken record."""
LATE_TRIES, LATE_SECONDS = 3, 0.03
"""How often, and how long each time, a session is waited for that is on its way to another region."""
ATTEMPTS = 8
"""Most tries of a change that others keep overtaking."""


class SessionsUnreachable(Exception):
    """Not every region that may hold the session could be asked: it may exist. `regions` did not answer."""

    def __init__(self, regions: list[str]) -> None:
        super().__init__(f"the session may be in {', '.join(regions)}, which did not answer")
        self.regions = regions


class ClientInfo(msgspec.Struct, frozen=True):
    """What is known of a client: its address as the edge saw it, and the edge's headers by lower-case name."""

    ip_address: str = ""
    headers: Mapping[str, str] = {}


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


class LogOut(msgspec.Struct, frozen=True):
    """A log-out's reach: `pending` are regions that did not answer and are being told on."""

    pending: tuple[str, ...]


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
        self._clients = clients
        self._config = deployment.sessions
        self._region = deployment.region
        self._keyring = keyring or SessionKeyring.load(deployment)
        self._affinity = Affinity(deployment)
        self._breakers = breakers or Breakers()
        self._metrics = metrics
        self._revocations = Revocations(clients, self._config.ttl_seconds)
        self._pending = Pending()
        self._touched: dict[str, Session] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._encode = msgspec.msgpack.Encoder(uuid_format="bytes").encode
        self._decode = msgspec.msgpack.Decoder(_Payload).decode
        self._local_prefix = session_key(self._region, "")
        self._local_breaker = self._breakers.get("sessions", self._region)

    def determine_region(self, client: ClientInfo) -> str:
        """The region a client belongs to (app/affinity.py)."""
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
            record = await self._clients.sessions(self._region).get(self._local_prefix + session_id)
        except BaseException as error:
            if not isinstance(error, AWAY):
                breaker.error(error)
                raise
            breaker.error(error)
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

    async def delete_session(self, session_id: str, expires_at: float | None = None) -> LogOut:
        """End a session everywhere at once. Regions that do not answer are told until they do. Never raises for them."""
        now = time.time()
        until = expires_at or now + self._config.ttl_seconds
        self._revocations.add_session(session_id)
        self._touched.pop(session_id, None)

        async def revoke(region: str) -> None:
            await self._script(
                REVOKE, region, [session_key(region, session_id), revocations_key(region)],
                max(int(until * 1000), int(now * 1000) + 1000), int(now * 1000), f"s:{session_id}", self._keep_ms,
            )  # fmt: skip

        return await self._everywhere(f"s:{session_id}", revoke, until)

    async def delete_sessions_of(self, user_id: UUID) -> LogOut:
        """End all of a user's sessions, in every region, those also that are just being moved or saved."""
        now, user = time.time(), str(user_id)
        self._revocations.add_user(user, now)

        async def revoke(region: str) -> None:
            await self._script(
                REVOKE_USER, region, [revoked_key(region, user), index_key(region, user), revocations_key(region)],
                int(now * 1000), self._keep_ms, f"u:{user}", session_key(region, ""),
            )  # fmt: skip

        return await self._everywhere(f"u:{user}", revoke, now + self._config.ttl_seconds)

    # Life

    async def start(self) -> None:
        """Begin to follow revocations and to write touches."""
        self._tasks = [
            asyncio.create_task(self._revocations.follow(), name="revocations"),
            asyncio.create_task(self._flush_touched(), name="touched sessions"),
        ]

    async def close(self) -> None:
        """Write what is touched, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
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

    # Records

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
        return await self._breakers.get("sessions", region).call(lambda: script.run(client, keys, *args))

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

    async def _after_revocation(self, session: Session) -> float:
        before = await self._clients.sessions(session.region).get(revoked_key(session.region, str(session.user_id)))
        return max(time.time(), (int(before or 0) + 1) / 1000)

    # Other regions

    async def _find_elsewhere(self, session_id: str, local: bytes | None) -> Session | None:
        """Ask the other regions' copies, then move the session here."""
        records, unknown = await self._ask_copies(session_id)
        if any(record[:1] == b"G" for record in records.values()):
            return None
        if local is not None:
            records[self._region] = local
        if not records:
            if unknown:
                raise SessionsUnreachable(unknown)
            return None
        region = max(records, key=lambda name: (version_of(records[name]), records[name][:1] == b"L"))
        newest = records[region]
        if newest[:1] == b"M":
            return await self._follow(session_id, Move.parse(newest))
        return await self._follow(session_id, Move(version_of(newest), region, region, newest))

    async def _ask_copies(self, session_id: str) -> tuple[dict[str, bytes], list[str]]:
        """What the other regions hold, and the regions of which that cannot be said."""
        regions = self._clients.other_regions
        records: dict[str, bytes] = {}
        unknown: list[str] = []

        async def ask(region: str) -> None:
            record, heartbeat = await self._breakers.get("session-copy", region).call(
                lambda: self._clients.session_copy(region).execute_command(
                    "MGET", session_key(region, session_id), heartbeat_key(region)
                )
            )
            if record is not None:
                records[region] = record
            elif self._clients.has_copy(region) and time.time() - int(heartbeat or 0) / 1000 > COPY_SECONDS:
                unknown.append(region)

        asked = {region: asyncio.create_task(ask(region)) for region in regions}
        if asked:
            await asyncio.wait(asked.values(), timeout=self._config.fallback_deadline_seconds)
        for region, task in asked.items():
            if not task.done():
                task.cancel()
                unknown.append(region)
            elif (error := task.exception()) is not None:
                if not isinstance(error, AWAY):
                    raise error
                unknown.append(region)
        return records, unknown

    async def _follow(self, session_id: str, seen: Move) -> Session | None:
        """Go where `seen` says the session is, and bring it here. An L record is seen as a move to where it lies."""
        late = 0
        for _ in range(HOPS + LATE_TRIES):
            if seen.to == self._region:
                # It is here by now, or it is about to be, or who moved it died: then we store it.
                mine = await self._local(session_id)
                if mine is None or version_of(mine) < seen.version:
                    return await self._arrive(session_id, seen)
                if mine[:1] != b"M":
                    return self._opened(mine, self._region, session_id) if mine[:1] == b"L" else None
                seen = Move.parse(mine)
                continue
            at = seen.to
            try:
                answer = await self._script(MOVE, at, [session_key(at, session_id)], self._region, at)
                if answer[0] == b"absent" and at != seen.origin:
                    # On its way there, and not there yet: wait a little, then take it from under way.
                    late += 1
                    if late <= LATE_TRIES:
                        await asyncio.sleep(LATE_SECONDS)
                        continue
                    answer = await self._take_at(
                        session_id, at, msgspec.structs.replace(seen, version=seen.version + 1)
                    )
                    if answer[0] == b"took":
                        return await self._arrive(session_id, msgspec.structs.replace(seen, version=seen.version + 1))
            except AWAY as error:
                return await self._adopt(session_id, seen, error)
            if answer[0] == b"took":
                took = Move(version_of(answer[1]) + 1, self._region, at, answer[1])
                return await self._arrive(session_id, took)
            if answer[0] == b"moved":
                seen = Move.parse(answer[1])
            elif answer[0] != b"there":
                return None  # gone; or absent where it lay: it ended between the copy's answer and its owner's
        raise SessionsUnreachable([seen.to])

    async def _take_at(self, session_id: str, at: str, move: Move) -> Any:
        """Say at region `at` that this region takes the session as `move` has it."""
        expires = self._end_of(session_id, move)
        return await self._script(
            ADOPT, at, [session_key(at, session_id)],
            self._region, move.version, move.origin, move.record, int(expires * 1000),
        )  # fmt: skip

    def _end_of(self, session_id: str, move: Move) -> float:
        session = self._opened(move.record, move.origin, session_id)
        return time.time() + 1 if session is None else session.expires_at

    async def _arrive(self, session_id: str, move: Move) -> Session | None:
        """Store here what moves here, at the move's version."""
        session = self._opened(move.record, move.origin, session_id)
        if session is None:
            return None
        session.region, session.version = self._region, move.version
        try:
            answer = await self._put(session)
        except AWAY as error:
            raise SessionsUnreachable([self._region]) from error
        if answer[0] == b"ok":
            if self._metrics is not None:
                self._metrics.session_migrations.labels(source=move.origin, destination=self._region).inc()
            return session
        if answer[0] == b"other" and answer[1][:1] == b"L":
            return self._opened(answer[1], self._region, session_id)
        if answer[0] == b"other":
            return await self._follow(session_id, Move.parse(answer[1]))
        return None

    async def _adopt(self, session_id: str, seen: Move, error: BaseException) -> Session | None:
        """The owner does not answer, but a copy of what it held is here: carry on with it.

        The first of the other regions, by name, decides who takes it, so that two that adopt at once find each
        other; where that one is away too, this region decides for itself.
        """
        away = seen.to
        if away != seen.origin:
            raise SessionsUnreachable([away]) from error  # what it may have written since, no copy here has shown
        session = self._opened(seen.record, seen.origin, session_id)
        if session is None:
            return None
        move = Move(seen.version + 1, self._region, seen.origin, seen.record)
        arbiter = min(name for name in (self._region, *self._clients.other_regions) if name != away)
        if arbiter != self._region:
            with contextlib.suppress(*AWAY):
                answer = await self._take_at(session_id, arbiter, move)
                if answer[0] == b"gone":
                    return None
                if answer[0] == b"there":
                    return await self._follow(session_id, Move(version_of(answer[1]), arbiter, arbiter, answer[1]))
                if answer[0] == b"moved" and Move.parse(answer[1]).to != self._region:
                    return await self._follow(session_id, Move.parse(answer[1]))
        adopted = await self._arrive(session_id, move)
        if adopted is not None:
            self._pending.keep_trying(
                away, f"adopted {session_id}", lambda: self._take_at(session_id, away, move), adopted.expires_at
            )
        return adopted

    async def _local(self, session_id: str) -> bytes | None:
        try:
            found: bytes | None = await self._clients.sessions(self._region).get(self._local_prefix + session_id)
        except AWAY as error:
            raise SessionsUnreachable([self._region]) from error
        return found

    async def _everywhere(self, what: str, write: Callable[[str], Any], until: float) -> LogOut:
        """`write(region)` in every region at once; it goes on when the caller is cancelled."""
        regions = [self._region, *self._clients.other_regions]

        async def run() -> LogOut:
            outcomes = await asyncio.gather(*(write(region) for region in regions), return_exceptions=True)
            pending = []
            for region, outcome in zip(regions, outcomes, strict=True):
                if isinstance(outcome, AWAY):
                    pending.append(region)
                    self._pending.keep_trying(region, what, lambda region=region: write(region), until)  # type: ignore[misc]
                elif isinstance(outcome, BaseException):
                    raise outcome
            return LogOut(tuple(pending))

        return await asyncio.shield(asyncio.create_task(run(), name="log-out"))

    # Touches

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
