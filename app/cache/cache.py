"""`DistributedCache`: L1, L2, single flight, invalidation.

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
import contextlib
import contextvars
import functools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar, cast

import msgspec
from redis.exceptions import RedisClusterException, RedisError

from app.breakers import BreakerOpen, Breakers
from app.cache import records
from app.cache.coherence import Coherence
from app.cache.delivery import Delivery
from app.cache.flights import Flights, Sequence
from app.cache.keys import key_maker
from app.cache.local import LocalCache
from app.cache.records import Floors
from app.deployment import CacheConfig
from app.metrics import CacheSample
from app.redis_clients import RedisClients

log = logging.getLogger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

LEASE_SECONDS = 5.0
"""A loader's right to a key. If its process dies, the next reader of any process takes over after this time."""
POLL_SECONDS = 0.01
"""First pause of a process that waits for another's load; it doubles up to `POLL_MOST_SECONDS`."""
POLL_MOST_SECONDS = 0.1

Unavailable = tuple[type[BaseException], ...]
_AWAY = (RedisError, RedisClusterException, OSError, TimeoutError, BreakerOpen)

_floors: contextvars.ContextVar[dict[int, tuple[int, int]]] = contextvars.ContextVar("required_floors")


def required_floors() -> dict[int, tuple[int, int]]:
    """Inside a loader: by shard, the epoch and LSN its read must have reached, so as not to fill in an old value."""
    return _floors.get({})


class CacheStats(msgspec.Struct, frozen=True):
    """Counts since the process started. A read is answered by L1, by L2, or missed; loads and stale are beside that."""

    l1_hits: int
    l2_hits: int
    misses: int
    loads: int
    stale: int
    fills_refused: int
    evictions: int
    l1_bytes: int
    l1_entries: int
    undelivered: int


class Invalidation(msgspec.Struct, frozen=True):
    """What an invalidation reached when it returned. `here`: see above. `pending`: regions still being told."""

    here: bool
    pending: tuple[str, ...]


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
        self._clients = clients
        self._breakers = breakers or Breakers()
        self._unavailable = unavailable
        self._local = LocalCache(self.config.max_bytes)
        self._entries = self._local.entries
        self._sequence = Sequence()
        self._flights = Flights(self._sequence)
        self._coherence = Coherence(clients, self._forget, self._forget_all)
        self._coherence.on_trust = self._set_trust
        self._delivery = Delivery(clients, self.keep_ms)
        self._trusted_until = 0.0
        self._l1_hits = self._l2_hits = self._misses = self._loads = self._stale = self._refused = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}

    # The hit path. Everything here is counted in nanoseconds; `make bench-app` compares it with an empty coroutine.

    async def get(self, key: str, type: type[T], _now: Callable[[], float] = time.monotonic) -> T | None:
        """The value of `key`, or None where neither level has it (or has it as an absence)."""
        entry = self._entries.get(key)
        if entry is not None and entry.type is type and entry.expires > (now := _now()) and now < self._trusted_until:
            self._l1_hits += 1
            entry.visited = True
            return entry.value  # type: ignore[no-any-return]
        return cast("T | None", await self._from_l2(key, type))

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
            key, type, lambda: self._fill(key, loader, type, ttl), informed=informed
        )
        if level == 2:
            self._l2_hits += 1
        else:
            self._misses += 1
        return cast("T | None", value)

    def cached(
        self, template: str, type: type[T], *, ttl: float | None = None
    ) -> Callable[[Callable[P, Awaitable[T | None]]], Callable[P, Awaitable[T | None]]]:
        """Decorate an async function: `@cache.cached("item:{user}:{name}", Item)` keys it by its arguments' values."""

        def decorate(function: Callable[P, Awaitable[T | None]]) -> Callable[P, Awaitable[T | None]]:
            key_of = key_maker(template, function)
            now_of, entries = time.monotonic, self._entries

            @functools.wraps(function)
            async def read(*args: P.args, **kwargs: P.kwargs) -> T | None:
                key = key_of(*args, **kwargs)
                entry = entries.get(key)
                if (
                    entry is not None
                    and entry.type is type
                    and entry.expires > (now := now_of())
                    and now < self._trusted_until
                ):
                    self._l1_hits += 1
                    entry.visited = True
                    return entry.value  # type: ignore[no-any-return]
                return await self.get_or_load(key, lambda: function(*args, **kwargs), type, ttl=ttl)

            return read

        return decorate

    # Writing

    async def set(self, key: str, value: Any, *, ttl: float | None = None) -> Invalidation:
        """Put `value` (None: an absence) under `key` in this region and invalidate it in the others.

        Whoever sets must know that the value is current: two writers at once are not put in order. For what comes
        from a database, `invalidate` after the commit and let the next reader load.
        """
        kind, payload, fresh = self._record(value, ttl)
        keep = self._keep_ms(fresh)
        return await self._change(key, None, records.REPLACE, (kind, payload, int(fresh * 1000), keep))

    async def invalidate(self, key: str, *, floors: Floors | None = None) -> Invalidation:
        """Make `key`'s old value unreadable, everywhere. Call it after the commit and before acknowledging.

        `floors`: by shard the epoch and LSN of the commit, for the loads that follow (`required_floors`).
        It goes on when the caller is cancelled. Raises nothing of Redis; `Invalidation` says what was reached.
        """
        encoded = records.encode_floors(floors)
        return await self._change(key, encoded, records.INVALIDATE, (_generation(), encoded, self.keep_ms))

    async def start(self) -> None:
        """Subscribe to invalidations. Returns within a second also where Redis is away."""
        await self._coherence.start()

    async def close(self) -> None:
        """Stop loads, deliveries and subscriptions. The clients stay open: they are the caller's."""
        await self._flights.close()
        await self._delivery.close()
        await self._coherence.close()

    @property
    def stats(self) -> CacheStats:
        """The counts so far."""
        return CacheStats(
            self._l1_hits, self._l2_hits, self._misses, self._loads, self._stale, self._refused,
            self._local.evictions, self._local.bytes, len(self._local), self._delivery.waiting,
        )  # fmt: skip

    def sample(self) -> CacheSample:
        """The counts of the specification's metrics: give this method to `Metrics.cache`."""
        return CacheSample(self._l1_hits, self._l2_hits, self._misses)

    @property
    def trusted(self) -> bool:
        """Whether L1 may answer now."""
        return time.monotonic() < self._trusted_until

    @property
    def keep_ms(self) -> int:
        """How long Redis keeps a record at most, in ms: the lifetime, then the time it may be served stale."""
        return self._keep_ms(self.config.l2_ttl_seconds)

    # L2

    async def _from_l2(self, key: str, type: Any) -> Any:
        entry = self._entries.get(key)
        if entry is not None and entry.type == type and entry.expires > time.monotonic() and self.trusted:
            self._l1_hits += 1
            return entry.value
        since = self._sequence.now
        try:
            payload = records.fresh_payload(await self._read(key))
        except _AWAY:
            payload = None
        if payload is None:
            self._misses += 1
            return None
        self._l2_hits += 1
        return self._keep_local(key, payload, type, since)

    async def _read(self, key: str) -> bytes | None:
        if self._delivery.owes(self._clients.region, key):
            raise TimeoutError("L2 has not been told of an invalidation yet")
        region = self._clients.region
        breaker = self._breakers.get("cache", region)
        breaker.check()
        try:
            raw: bytes | None = await self._clients.cache(region).execute_command("GET", records.PREFIX + key)
        except BaseException as error:
            breaker.error(error)
            raise
        breaker.success()
        return raw

    async def _script(self, script: Any, key: str, *args: Any) -> Any:
        region = self._clients.region
        client = self._clients.cache(region)
        return await self._breakers.get("cache", region).call(lambda: script.run(client, [records.PREFIX + key], *args))

    async def _fill(self, key: str, loader: Callable[[], Awaitable[Any]], type: Any, ttl: float | None) -> Any:
        """One flight: (value, level), where level 2 is an answer of L2 and 0 a load or a stale value."""
        generation = _generation()
        pause = POLL_SECONDS
        while True:
            since = self._sequence.now
            try:
                payload = records.fresh_payload(await self._read(key))
                if payload is not None:
                    return self._keep_local(key, payload, type, since), 2
                answer = await self._script(records.CLAIM, key, generation, int(LEASE_SECONDS * 1000), self.keep_ms)
            except _AWAY:
                return await self._load(key, loader, type, ttl, None, since, {}, b"")
            if answer[0] == b"value":
                return self._keep_local(key, answer[1][9:], type, since), 2
            if answer[0] == b"claimed":
                floors = records.decode_floors(answer[1])
                return await self._load(key, loader, type, ttl, generation, since, floors, answer[2])
            await asyncio.sleep(min(pause, int(answer[1]) / 1000) * (0.5 + secrets.randbelow(512) / 1024))
            pause = min(pause * 2, POLL_MOST_SECONDS)

    async def _load(
        self,
        key: str,
        loader: Callable[[], Awaitable[Any]],
        type: Any,
        ttl: float | None,
        generation: bytes | None,
        since: int,
        floors: dict[int, tuple[int, int]],
        stale: bytes,
    ) -> Any:
        self._loads += 1
        _floors.set(floors)
        try:
            value = await loader()
        except BaseException as error:
            if generation is not None:
                with contextlib.suppress(*_AWAY):
                    await self._script(records.RELEASE, key, generation)
            if stale and isinstance(error, self._unavailable) and self._sequence.unchanged(key, since):
                self._stale += 1
                return self._decode(records.stale_payload(stale), type), 0
            raise
        kind, payload, fresh = self._record(value, ttl)
        stored = True
        if generation is not None:
            with contextlib.suppress(*_AWAY):
                stored = bool(
                    await self._script(
                        records.STORE, key, generation, kind, payload, int(fresh * 1000), self._keep_ms(fresh)
                    )
                )
        if not stored:
            self._refused += 1
        elif self._sequence.unchanged(key, since):
            self._local.put(key, value, type, len(payload), min(fresh, self.config.ttl_seconds))
        return value, 0

    def _keep_local(self, key: str, payload: bytes, type: Any, since: int) -> Any:
        value = self._decode(payload, type)
        if self._sequence.unchanged(key, since):
            config = self.config
            ttl = config.ttl_seconds if payload else min(config.ttl_seconds, config.negative_ttl_seconds)
            self._local.put(key, value, type, len(payload), ttl)
        return value

    def _decode(self, payload: bytes, type: Any) -> Any:
        if not payload:
            return None
        decoder = self._decoders.get(type)
        if decoder is None:
            decoder = self._decoders[type] = msgspec.msgpack.Decoder(type)
        return decoder.decode(payload)

    def _record(self, value: Any, ttl: float | None) -> tuple[bytes, bytes, float]:
        """The record's kind and payload, and its lifetime in seconds."""
        if value is None:
            return b"N", b"", min(ttl or self.config.negative_ttl_seconds, self.config.negative_ttl_seconds)
        return b"V", self._encode(value), ttl or self.config.l2_ttl_seconds

    def _keep_ms(self, fresh: float) -> int:
        return max(1, int((fresh + max(self.config.stale_seconds, LEASE_SECONDS)) * 1000))

    # Invalidation

    async def _change(self, key: str, floors: bytes | None, script: Any, args: tuple[Any, ...]) -> Invalidation:
        task = asyncio.create_task(self._change_everywhere(key, floors or b"", script, args), name=f"invalidate {key}")
        return await asyncio.shield(task)

    async def _change_everywhere(self, key: str, floors: bytes, script: Any, args: tuple[Any, ...]) -> Invalidation:
        self._forget(key)
        for region in self._clients.other_regions:
            self._delivery.tell(region, key, floors)
        number, message = self._coherence.message(key)
        here, subscribers, node = True, None, ""
        try:
            count, name = await self._script(script, key, *args, message)
            subscribers, node = int(count), name.decode()
        except _AWAY as error:
            log.warning("the cache was not told of an invalidation, which goes on: %s", error)
            here = False
            self._delivery.tell(self._clients.region, key, floors)
        await self._coherence.settle(number, subscribers, node)
        self._forget(key)
        return Invalidation(here, tuple(self._delivery.regions_owed(key)))

    def _forget(self, key: str) -> None:
        self._sequence.invalidated(key)
        self._local.discard(key)

    def _forget_all(self) -> None:
        self._sequence.everything()
        self._local.clear()

    def _set_trust(self, until: float) -> None:
        self._trusted_until = until


def _generation() -> bytes:
    return secrets.token_bytes(records.GENERATION_BYTES)
