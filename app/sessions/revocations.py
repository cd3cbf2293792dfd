"""Log-outs on their way: to regions that did not answer, and from regions this one cannot be told by.

A log-out is written to every region's primary. Where one does not answer, this process tries on until it does.
Meanwhile the others carry the news: each region lists what was revoked through it, the list is replicated to the
copies in every region, and each process reads the copies near it every `POLL_SECONDS`. So a region that is cut off
from the writer, and can still hear any other, refuses the session after the copies' lag and one second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from app.redis.away import AWAY, FAILURES
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients
from app.sessions.records import BEAT, digest, heartbeat_key, revocations_key

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
OVERLAP_MS = 30_000
"""How far each reading looks back behind the newest it has seen: the pods' clocks and the copies' lag differ."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


class Pending:
    """Writes that a region must still get: tried until it takes them or they no longer matter."""

    def __init__(self) -> None:
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def keep_trying(self, region: str, what: str, write: Callable[[], Awaitable[object]], until: float) -> None:
        """Repeat `write()` until it does not fail, or until `until` (seconds since 1970)."""
        key = (region, what)
        if key not in self._tasks:
            task = self._tasks[key] = asyncio.create_task(self._try(write, until), name=f"log-out in {region}")
            task.add_done_callback(lambda _done: self._tasks.pop(key, None))

    @property
    def waiting(self) -> int:
        """Writes not taken yet."""
        return len(self._tasks)

    async def close(self) -> None:
        """Give up what is left."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _try(self, write: Callable[[], Awaitable[object]], until: float) -> None:
        pause = FIRST_PAUSE
        while time.time() < until:
            await asyncio.sleep(pause)
            try:
                await write()
            except FAILURES as error:
                log.warning("a log-out waits for its region: %s", error)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                return


class Revocations:
    """What was revoked anywhere, as far as this process has heard. Kept for `keep_seconds`, a session's lifetime.

    `sessions` has the digests of their ids. Both tables are public so
    that a reader sees at once that both are empty, as they mostly are.
    """

    def __init__(self, clients: RedisClients, breakers: Breakers, keep_seconds: float) -> None:
        self._clients = clients
        self._breakers = breakers
        self._keep = keep_seconds
        self.sessions: dict[str, float] = {}
        self.users: dict[str, float] = {}
        self._seen: dict[str, float] = {}

    def covers(self, session_id: str, user: str, created_at: float) -> bool:
        """Whether this session, begun at `created_at` (seconds since 1970), is revoked."""
        if self.sessions and digest(session_id) in self.sessions:
            return True
        before = self.users.get(user)
        return before is not None and created_at <= before

    def add_session(self, session_id: str) -> None:
        """This session is revoked."""
        self.sessions[digest(session_id)] = time.time()

    def add_user(self, user: str, before: float) -> None:
        """This user's sessions begun at or before `before` are revoked."""
        self.users[user] = max(before, self.users.get(user, 0.0))

    async def beat(self) -> None:
        """Show the other regions that this one is alive, until cancelled."""
        while True:
            await self._beat()
            await asyncio.sleep(POLL_SECONDS)

    async def follow(self) -> None:
        """Read the lists until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Read the lists once, so far as their stores answer.
        Before the first time this process knows of no log-out.
        """
        await asyncio.gather(*(self._read(region) for region in self._regions()))
        self._drop_old()

    def _regions(self) -> Iterable[str]:
        """Those whose lists can be read nearby: this region's own, and the others that have a copy here."""
        return [self._clients.region, *(name for name in self._clients.other_regions if self._clients.has_copy(name))]

    async def _beat(self) -> None:
        region = self._clients.region
        try:
            await self._breakers.get("sessions-write", region).call(
                lambda: BEAT.run(self._clients.sessions(region), [heartbeat_key(region)], int(self._keep * 1000))
            )
        except AWAY as error:
            log.warning("the session store of %s: %s", region, error)

    async def _read(self, region: str) -> None:
        since = self._seen.get(region, 0.0)
        try:
            rows = await self._breakers.get("session-copy", region).call(
                lambda: self._clients.session_copy(region).execute_command(
                    "ZRANGEBYSCORE",
                    revocations_key(region),
                    f"({max(0.0, since - OVERLAP_MS):.0f}",
                    "+inf",
                    "WITHSCORES",
                )
            )
        except AWAY as error:
            log.warning("what was revoked in %s is not known: %s", region, error)
            return
        for member, score in zip(rows[::2], rows[1::2], strict=True):
            kind, _, name = member.decode().partition(":")
            at = float(score)
            if kind == "s":
                self.sessions[name] = at / 1000
            else:
                self.add_user(name, at / 1000)
            self._seen[region] = max(self._seen.get(region, 0.0), at)

    def _drop_old(self) -> None:
        oldest = time.time() - self._keep
        for table in (self.sessions, self.users):
            for name in [name for name, at in table.items() if at < oldest]:
                del table[name]
