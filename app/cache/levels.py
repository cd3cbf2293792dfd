"""`Levels`: L1 and L2 as one process has them: records read from L2, decoded, kept in L1, forgotten.

What loads (loads.py) and changes (changes.py) share: each of them holds this one.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from app.cache import records
from app.cache.coherence import Coherence
from app.cache.delivery import Delivery
from app.cache.flights import Sequence
from app.cache.local import LocalCache
from app.cache.records import LEASE_SECONDS, Schema
from app.deployment import CacheConfig
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients

log = logging.getLogger(__name__)


class Levels:
    """L1 (`local`), L2 in this region's Redis, the order of changes (`sequence`), and the ways in which they travel.

    `unreadable` counts what was in L2 and could not be read: written by another version of the app, or broken.
    """

    def __init__(self, clients: RedisClients, config: CacheConfig, breakers: Breakers) -> None:
        self.config = config
        self.region = clients.region
        self.clients = clients
        self.local = LocalCache(config.max_bytes)
        self.sequence = Sequence()
        self.coherence = Coherence(clients, self.forget, self.forget_all)
        self.keep_ms = self.keep_for(config.l2_ttl_seconds)
        self.delivery = Delivery(clients, breakers, self.keep_ms)
        self.unreadable = 0
        self._reading = breakers.get("cache", self.region)
        self._writing = breakers.get("cache-write", self.region)
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
        self._schemas: dict[Any, Schema] = {}

    async def read(self, key: str) -> bytes | None:
        """The record of `key`. Raises: one of AWAY, also while L2 has not been told of an invalidation yet."""
        if self.delivery.owes(self.region, key):
            raise TimeoutError("L2 has not been told of an invalidation yet")
        breaker = self._reading
        breaker.check()
        try:
            raw: bytes | None = await self.clients.cache(self.region).execute_command("GET", records.PREFIX + key)
        except BaseException as error:
            breaker.error(error)
            raise
        breaker.success()
        return raw

    async def run(self, script: Any, key: str, *args: Any) -> Any:
        """A script's answer. Raises: one of AWAY."""
        client = self.clients.cache(self.region)
        return await self._writing.call(lambda: script.run(client, [records.PREFIX + key], *args))

    def keep(self, key: str, payload: bytes, type: Any, since: int) -> Any:
        """The value in a record's payload, kept in L1 too if nothing changed it `since`. Raises: Unreadable."""
        value = self.decode(payload, type)
        if self.sequence.unchanged(key, since):
            ttl = self.config.ttl_seconds if payload else min(self.config.ttl_seconds, self.config.negative_ttl_seconds)
            self.local.put(key, value, type, len(payload), ttl)
        return value

    def decode(self, payload: bytes, type: Any) -> Any:
        """The value in a payload. Raises: Unreadable."""
        if not payload:
            return None
        decoder = self._decoders.get(type)
        if decoder is None:
            decoder = self._decoders[type] = msgspec.msgpack.Decoder(type)
        try:
            return decoder.decode(payload)
        except msgspec.MsgspecError as error:
            raise records.Unreadable(str(error)) from None

    def note_unreadable(self, key: str, error: records.Unreadable) -> None:
        """Count a record that cannot be read; it is a miss."""
        self.unreadable += 1
        log.info("the record of %s in L2 is passed over: %s", key, error)

    def schema(self, type: Any) -> Schema:
        """What `type` looks like in this version of the app."""
        found = self._schemas.get(type)
        if found is None:
            found = self._schemas[type] = records.schema_of(type)
        return found

    def record(self, value: Any, ttl: float | None) -> tuple[bytes, bytes, float]:
        """The record's kind and payload, and its lifetime in seconds."""
        if value is None:
            return b"N", b"", min(ttl or self.config.negative_ttl_seconds, self.config.negative_ttl_seconds)
        return b"V", self._encode(value), ttl or self.config.l2_ttl_seconds

    def keep_for(self, fresh: float) -> int:
        """How long Redis keeps a record that is fresh for `fresh` seconds, in ms: as long as it may be served stale."""
        return max(1, int((fresh + max(self.config.stale_seconds, LEASE_SECONDS)) * 1000))

    def forget(self, key: str) -> None:
        """`key` changed."""
        self.sequence.invalidated(key)
        self.local.discard(key)

    def forget_all(self) -> None:
        """Anything may have changed."""
        self.sequence.everything()
        self.local.clear()
