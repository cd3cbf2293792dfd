"""Rate limits: each user, and everything together.

The buckets are in Redis, on its clock. A process takes tokens from them in leases, so that most requests are decided
without asking: the first request of a user costs one call, the next ones few, as the lease doubles while it is used
up within its second. What is not used goes back with the next lease.

- A user's bucket is in the region's cache: the limit is `user_rate` in each region, and a user has one at a time.
- The global limit is spread over `SHARDS` buckets in every region, so that no key is hot; a region that runs out
  takes from the others', over the network, in the background of its own leases. Where a region does not answer, the
  others stand in for its share, in equal parts.
- Users and addresses have a table each, so that a crowd of addresses takes no signed-in user's lease away.
- With the region's own Redis away, each process limits by itself: its part of the limits, by the number of
  processes that were last seen in the region. Overshoot: at most one burst and one lease a process, and
  nothing that lasts. An answer that is an error is not "away": it is a mistake of ours, and raised.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec

from app.background import Background
from app.deployment import LimitConfig
from app.limits.buckets import PRESENT, TAKE, LocalBucket
from app.limits.leases import Lease, Leases
from app.redis.away import AWAY
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients

log = logging.getLogger(__name__)

SHARDS = 8
"""Buckets of the global limit in each region."""
LEASE_SECONDS = 1.0
"""How long a lease may be used."""
USER_LEASE, GLOBAL_LEASE = 32, 512
"""Most tokens of one lease."""
PRESENT_SECONDS = 5.0
"""How often a process says that it is there; it counts for three times that."""
MOST_USERS, MOST_ADDRESSES = 50_000, 50_000
"""Leases of either kind in this process at which the oldest make room."""


class Decision(msgspec.Struct, frozen=True):
    """`limit` is `user` or `global`, whichever denies; `retry_after` in seconds until it would not."""

    allowed: bool
    limit: str = ""
    retry_after: float = 0.0


ALLOWED = Decision(True)


class RateLimiter:
    """The limits of one process. `start` before use, `close` at the end; `check` in every request."""

    def __init__(
        self,
        clients: RedisClients,
        config: LimitConfig | None = None,
        breakers: Breakers | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config or clients.deployment.limits
        self._clients = clients
        self._breakers = breakers or Breakers()
        self._clock = clock
        self._name = secrets.token_hex(8)
        self._processes = 1
        self._users = Leases(MOST_USERS, clock)
        self._addresses = Leases(MOST_ADDRESSES, clock)
        self._global = Lease()
        self._present: Background | None = None

    async def start(self) -> None:
        """Be counted among the region's processes."""
        self._present = Background(self._be_present, PRESENT_SECONDS)

    async def close(self) -> None:
        """Stop. Leased tokens run out by themselves."""
        if self._present is not None:
            await self._present.close()

    async def check(self, user: str) -> Decision:
        """Take one token of `user` and one of all. Raises: RedisError where Redis answers with an error."""
        return await self._check(user, self._users)

    async def _check(self, user: str, leases: Leases) -> Decision:
        now = self._clock()
        everybody, lease = self._global, leases.get(user)
        if lease is None:
            lease = leases.new(user)
        if everybody.tokens > 0 and now < everybody.ends and lease.tokens > 0 and now < lease.ends:
            everybody.tokens -= 1
            lease.tokens -= 1
            return ALLOWED
        wait = await self._take(lease, lambda: self._lease_user(user, lease))
        if wait > 0:
            return Decision(False, "user", wait)
        wait = await self._take(everybody, self._lease_global)
        if wait > 0:
            lease.tokens += 1
            return Decision(False, "global", wait)
        return ALLOWED

    async def check_global(self) -> Decision:
        """Take one token of all, for a request that has no user."""
        wait = await self._take(self._global, self._lease_global)
        return Decision(False, "global", wait) if wait > 0 else ALLOWED

    async def check_key(self, key: str) -> Decision:
        """As `check`, for a request without a user: `key` is whom it is counted to, such as `ip:192.0.2.1`."""
        return await self._check(key, self._addresses)

    async def _take(self, lease: Lease, make: Callable[[], Any]) -> float:
        """One token of `lease`: 0, or the seconds to wait."""
        while True:
            now = self._clock()
            if lease.tokens > 0 and now < lease.ends:
                lease.tokens -= 1
                return 0.0
            if now < lease.denied_until:
                return lease.denied_until - now
            # One that is done and whose tokens others took first is
            # over: waiting for it would never let go of the loop.
            if lease.waiting is None or lease.waiting.done():
                lease.waiting = asyncio.create_task(make(), name="lease")
            await asyncio.shield(lease.waiting)

    async def _lease_user(self, user: str, lease: Lease) -> None:
        config = self.config
        try:
            granted, wait = await self._ask(
                self._clients.region, f"limit:user:{user}", config.user_rate, config.user_burst, lease, USER_LEASE
            )
        except AWAY:
            if lease.local is None:
                share = 1 / self._processes
                lease.local = LocalBucket(config.user_rate * share, config.user_burst * share, self._clock)
            granted, wait = lease.local.take()
        self._granted(lease, granted, wait)

    async def _lease_global(self) -> None:
        lease = self._global
        away: list[str] = []
        shortest = float("inf")
        for region in (self._clients.region, *self._clients.other_regions):
            try:
                granted, wait = await self._from_shards(region, region, 1.0, lease)
            except AWAY:
                if region == self._clients.region:
                    granted, wait = self._fallback_global()
                    self._granted(lease, granted, wait)
                    return
                away.append(region)
                continue
            if granted:
                self._granted(lease, granted, 0.0)
                return
            shortest = min(shortest, wait)
        others = max(1, len(self._clients.other_regions))
        for region in away:
            try:
                granted, wait = await self._from_shards(self._clients.region, f"for-{region}", 1 / others, lease)
            except AWAY:
                continue
            if granted:
                self._granted(lease, granted, 0.0)
                return
            shortest = min(shortest, wait)
        self._granted(lease, 0, shortest)

    async def _from_shards(self, region: str, share_of: str, part: float, lease: Lease) -> tuple[int, float]:
        """Tokens of the share `share_of` as `region` keeps it; two of its buckets are tried."""
        config = self.config
        buckets = (1 + len(self._clients.other_regions)) * SHARDS / part
        rate, burst = config.global_rate / buckets, max(1.0, config.global_burst / buckets)
        shortest = float("inf")
        for shard in random.sample(range(SHARDS), 2):
            granted, wait = await self._ask(
                region, f"limit:global:{share_of}:{shard}", rate, burst, lease, GLOBAL_LEASE
            )
            if granted:
                return granted, 0.0
            shortest = min(shortest, wait)
        return 0, shortest

    async def _ask(
        self, region: str, key: str, rate: float, burst: float, lease: Lease, most: int
    ) -> tuple[int, float]:
        now = self._clock()
        used_up = lease.tokens == 0 and now < lease.ends
        lease.batch = min(lease.batch * 2, most, max(1, int(burst))) if used_up else 1
        back, lease.tokens = lease.tokens, 0
        client = self._clients.cache(region)
        granted, wait = await self._breakers.get("cache-write", region).call(
            lambda: TAKE.run(client, [key], rate, burst, lease.batch, back)
        )
        return int(granted), int(wait) / 1000

    def _granted(self, lease: Lease, granted: int, wait: float) -> None:
        now = self._clock()
        lease.tokens = granted
        lease.ends = now + LEASE_SECONDS
        lease.denied_until = 0.0 if granted else now + max(wait, 0.001)

    def _fallback_global(self) -> tuple[int, float]:
        everybody = self._global
        if everybody.local is None:
            parts = self._processes * (1 + len(self._clients.other_regions))
            everybody.local = LocalBucket(
                self.config.global_rate / parts, self.config.global_burst / parts, self._clock
            )
        return everybody.local.take(8)

    def _forget_local(self) -> None:
        for leases in (self._users, self._addresses):
            leases.forget_local()
        self._global.local = None

    async def _be_present(self) -> None:
        region = self._clients.region
        while True:
            try:
                seen = await self._breakers.get("cache-write", region).call(
                    lambda: PRESENT.run(
                        self._clients.cache(region),
                        [f"limit:processes:{region}"],
                        self._name,
                        int(PRESENT_SECONDS * 3000),
                    )
                )
            except AWAY as error:
                log.warning("the region's processes are not counted: %s", error)
            else:
                if int(seen) != self._processes:
                    self._processes = int(seen)
                    self._forget_local()
            await asyncio.sleep(PRESENT_SECONDS)
