"""`DistributedCache`: L1, L2, single flight, invalidation.

Here are its hit path and its life; it holds levels.py (reading and keeping), loads.py and changes.py.

What is guaranteed, once `invalidate` has returned to the writer (who called it after its commit):

- In the writer's region, strictly: no read that begins afterwards gets a value from before the commit, from any
  process. L2 and its fills are ordered by the record's generation (records.py), L1 by the proof that no
  invalidation was missed (coherence.py), loads in a process by flights.py. `Invalidation.here` is False in the one
  case that cannot be ordered: the cache's node did not answer the writer. The writer has then waited until
  no L1 is trusted, and delivery is tried on until it succeeds; only readers that do reach that node can
  get the old value from its L2, for `l2_ttl_seconds` at most.
- In the other regions: not before the invalidation's arrival there, normally one way between the regions. Where a
  region cannot be reached it is tried on, and the bound is `l2_ttl_seconds` and then the source's own lag.
- A load right after an invalidation must not read a replica that is behind it: `invalidate(floors=...)` leaves the
  write's floors in the record, and `required_floors()` gives them to the loader.
- Failover of a cache node to a replica of its own may lose the latest invalidations (Redis replicates
  asynchronously); L1 is cleared then, L2 is bounded by `l2_ttl_seconds`.
- Stale values, served only while the source is away, are values whose time ran out, never invalidated ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

import msgspec

from app.cache.changes import Changes, Invalidation
from app.cache.flights import Flights
from app.cache.levels import Levels
from app.cache.loads import Loads, Unavailable, required_floors
from app.cache.records import Floors
from app.deployment import CacheConfig
from app.metrics import CacheSample
from app.redis.away import BreakerOpen
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients

__all__ = ["CacheStats", "DistributedCache", "Invalidation", "required_floors"]

T = TypeVar("T")


class CacheStats(msgspec.Struct, frozen=True):
    """Counts since the process started. A read is answered by L1, by L2, or missed; loads and stale are beside that."""

    l1_hits: int
    l2_hits: int
    misses: int
    loads: int
    stale: int
    fills_refused: int
    unreadable: int
    evictions: int
    l1_bytes: int
    l1_entries: int
    undelivered: int


class DistributedCache:
    """Two cache levels for values of any msgspec type. Values that come out are shared: treat them as immutable.

    `None` is an absence, kept for `negative_ttl_seconds`. `unavailable` are a loader's errors that mean that the
    source is away, for which a stale value may be served. Call `start` before use and `close` at the end; without
    `start` L1 is not trusted and everything is read from L2.
    """

    def __init__(
        self,
        clients: RedisClients,
        config: CacheConfig | None = None,
        breakers: Breakers | None = None,
        *,
        unavailable: Unavailable = (OSError, TimeoutError, BreakerOpen),
    ) -> None:
        self.config = config or clients.deployment.cache
        self._levels = Levels(clients, self.config, breakers or Breakers())
        self._loads = Loads(self._levels, unavailable)
        self._changes = Changes(self._levels)
        self._flights = Flights(self._levels.sequence)
        self._coherence = self._levels.coherence
        self._coherence.on_trust = self._set_trust
        self._entries = self._levels.local.entries
        self._trusted_until = 0.0
        self._l1_hits = self._l2_hits = self._misses = 0

    # The hit path. Everything here is counted in nanoseconds; `make bench-app` compares it with an empty coroutine.

    async def get_or_load(
        self,
        key: str,
        loader: Callable[[], Awaitable[T | None]],
        type: type[T],
        *,
        ttl: float | None = None,
        _now: Callable[[], float] = time.monotonic,
    ) -> T | None:
        """The value of `key`, loaded by `loader` where neither level has it: once at a time in all processes.

        A loader that returns None says that there is nothing. `ttl` in seconds replaces L2's lifetime.
        Raises: what the loader raises, where no stale value can stand in.
        """
        entry = self._entries.get(key)
        if entry is not None and entry.type is type and entry.expires > (now := _now()) and now < self._trusted_until:
            self._l1_hits += 1
            entry.visited = True
            return entry.value  # type: ignore[no-any-return]
        informed = _now() < self._trusted_until
        value, level = await self._flights.join(
            key, type, lambda: self._loads.fill(key, loader, type, ttl), informed=informed
        )
        if level == 2:
            self._l2_hits += 1
        else:
            self._misses += 1
        return cast("T | None", value)

    async def invalidate(self, key: str, *, floors: Floors | None = None) -> Invalidation:
        """Make `key`'s old value unreadable, everywhere. Call it after the commit and before acknowledging.

        `floors`: by shard the epoch and LSN of the commit, for the loads that follow (`required_floors`).
        It goes on when the caller is cancelled. A cache that is away raises nothing: `Invalidation` says what was
        reached. One that answers with an error raises it, once nobody can read the old value from an L1.
        """
        return await asyncio.shield(self._changes.begin(key, floors))

    def invalidate_soon(self, key: str, *, floors: Floors | None = None) -> None:
        """As `invalidate`, for who cannot wait; in this process it holds at once."""
        self._changes.begin(key, floors)
        self._levels.forget(key)

    # Life

    @property
    def trusted(self) -> bool:
        """Whether L1 may answer now."""
        return time.monotonic() < self._trusted_until

    def _set_trust(self, until: float) -> None:
        self._trusted_until = until

    async def start(self) -> None:
        """Subscribe to invalidations. Returns within a second also where Redis is away."""
        await self._coherence.start()

    async def close(self) -> None:
        """Stop loads, deliveries and subscriptions. The clients stay open: they are the caller's."""
        await self._flights.close()
        await self._changes.close()
        await self._levels.delivery.close()
        await self._coherence.close()

    @property
    def stats(self) -> CacheStats:
        """The counts so far."""
        levels, loads = self._levels, self._loads
        return CacheStats(
            l1_hits=self._l1_hits,
            l2_hits=self._l2_hits,
            misses=self._misses,
            loads=loads.loads,
            stale=loads.stale,
            fills_refused=loads.refused,
            unreadable=levels.unreadable,
            evictions=levels.local.evictions,
            l1_bytes=levels.local.bytes,
            l1_entries=len(levels.local),
            undelivered=levels.delivery.waiting,
        )

    def sample(self) -> CacheSample:
        """The counts of the specification's metrics: give this method to `Metrics.cache`."""
        return CacheSample(self._l1_hits, self._l2_hits, self._misses, self._levels.unreadable)
