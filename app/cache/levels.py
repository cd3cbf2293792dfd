"""`Levels`: L1 and L2 as one process has them: records read from L2, decoded, kept in L1, forgotten.

What the cache's parts (loads.py, changes.py, cache.py) have in common.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from app.cache import records
from app.cache.coherence import Coherence
from app.cache.delivery import Delivery
from app.cache.flights import Flights, Sequence
from app.cache.local import LocalCache
from app.cache.records import LEASE_SECONDS
from app.deployment import CacheConfig
from app.redis.away import AWAY, BreakerOpen
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients

Unavailable = tuple[type[BaseException], ...]


class Levels:
    """What the parts of `DistributedCache` share."""

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
        self._delivery = Delivery(clients, self._breakers, self.keep_ms)
        self._trusted_until = 0.0
        self._l1_hits = self._l2_hits = self._misses = self._loads = self._stale = self._refused = 0
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}

    @property
    def trusted(self) -> bool:
        """Whether L1 may answer now."""
        return time.monotonic() < self._trusted_until

    @property
    def keep_ms(self) -> int:
        """How long Redis keeps a record at most, in ms: the lifetime, then the time it may be served stale."""
        return self._keep_ms(self.config.l2_ttl_seconds)

    async def _from_l2(self, key: str, type: Any) -> Any:
        entry = self._entries.get(key)
        if entry is not None and entry.type == type and entry.expires > time.monotonic() and self.trusted:
            self._l1_hits += 1
            return entry.value
        since = self._sequence.now
        try:
            payload = records.fresh_payload(await self._read(key))
        except AWAY:
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
        return await self._breakers.get("cache-write", region).call(
            lambda: script.run(client, [records.PREFIX + key], *args)
        )

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

    def _forget(self, key: str) -> None:
        self._sequence.invalidated(key)
        self._local.discard(key)

    def _forget_all(self) -> None:
        self._sequence.everything()
        self._local.clear()

    def _set_trust(self, until: float) -> None:
        self._trusted_until = until
