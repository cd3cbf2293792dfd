"""How many users the region has, each counted once: `hal9_concurrent_users`, which the autoscaler adds up over pods.

A user's requests are spread over all pods (nginx has one upstream, the mesh picks the least busy), so what a process
sees by itself is nearly everybody, and the sum over pods would be the users times the pods. So each process tells the
region's Redis whom it has seen since it told last, by Redis' clock, and is told in turn how many users the region has
and how many processes share them. It shows its share, users / processes: the sum over the pods is the region's users.

Where Redis does not answer, the share follows what this process sees by itself, in the proportion of before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable

from app.http.presence import WINDOW_SECONDS, Presence
from app.redis.away import AWAY
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients, Script

log = logging.getLogger(__name__)

TELL_SECONDS = 2.0
"""How often a process tells whom it has seen; one that has not told for three times that has no share any more."""
MOST_AT_ONCE = 1000
"""Users in one call: Redis serves nobody else while the script runs."""

TELL = Script(
    """
-- KEYS users, processes; ARGV this process, ms a user stays, ms a process stays, users seen -> {users, processes}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 4, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
redis.call('ZADD', KEYS[2], now, ARGV[1])
for i = 1, 2 do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - ARGV[i + 1])
  redis.call('PEXPIRE', KEYS[i], ARGV[i + 1])
end
return {redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[2])}
"""
)


class Census:
    """One process's part in the counting. `watch` runs until cancelled, `leave` gives the share to the others.

    `clock` is the presence's, in seconds.
    """

    def __init__(
        self,
        presence: Presence,
        clients: RedisClients,
        breakers: Breakers,
        tell_seconds: float = TELL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._presence = presence
        self._clients = clients
        self._breakers = breakers
        self._tell_seconds = tell_seconds
        self._clock = clock
        self._name = secrets.token_hex(8)
        together = f"present:{{{clients.region}}}"  # one slot of the cluster, as one script needs both
        self._keys = [f"{together}:users", f"{together}:processes"]
        self._told_until = clock()
        self._proportion = 1.0
        self._share: float | None = None

    def share(self) -> float:
        """This process's part of the region's users."""
        return self._presence.count() * self._proportion if self._share is None else self._share

    async def watch(self) -> None:
        """Tell and be told until cancelled."""
        while True:
            await self.tell()
            await asyncio.sleep(self._tell_seconds)

    async def tell(self) -> None:
        """Once. Raises: RedisError for an answer that is an error, which is a mistake of ours."""
        now = self._clock()
        seen = [bytes.fromhex(user) for user in self._presence.since(self._told_until)]
        try:
            users, processes = await self._told(seen[:MOST_AT_ONCE])
            for start in range(MOST_AT_ONCE, len(seen), MOST_AT_ONCE):
                users, processes = await self._told(seen[start : start + MOST_AT_ONCE])
        except AWAY as error:
            log.warning("the region's users are not counted: %s", error)
            self._share = None
            return
        self._told_until = now
        self._share = users / max(1, processes)
        here = self._presence.count()
        self._proportion = self._share / here if here else 1 / max(1, processes)

    async def leave(self) -> None:
        """This process shows no share any more; the others take it over at their next telling."""
        with contextlib.suppress(*AWAY):
            await self._clients.cache(self._clients.region).execute_command("ZREM", self._keys[1], self._name)

    async def _told(self, seen: list[bytes]) -> tuple[int, int]:
        client = self._clients.cache(self._clients.region)
        users, processes = await self._breakers.get("cache-write", self._clients.region).call(
            lambda: TELL.run(
                client, self._keys, self._name, int(WINDOW_SECONDS * 1000), int(self._tell_seconds * 3000), *seen
            )
        )
        return int(users), int(processes)
