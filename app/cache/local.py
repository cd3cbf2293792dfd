"""L1: decoded values in this process, bounded in bytes, evicted by SIEVE.

SIEVE (Zhang et al., NSDI 2024) keeps one bit for each entry and never moves an entry on a hit, so a hit costs one
attribute; its hit ratio is at or above LRU's on the traces of the paper.
"""

from __future__ import annotations

import random
import time
from typing import Any

ENTRY_BYTES = 512
"""What an entry weighs beside its value: the key, the entry, the places in the table. Measured by tracemalloc."""
DECODED_FACTOR = 4
"""Python objects weigh at most about four times their msgpack (measured on structs and dictionaries of strings)."""
JITTER = 0.1
"""A lifetime is shortened by up to this share, so that entries of one moment do not end at one moment."""


class Entry:
    """One value. `expires` is on the monotonic clock, in seconds; `value` None is a cached absence."""

    __slots__ = ("expires", "key", "type", "value", "visited", "weight")

    def __init__(self, key: str, value: Any, type: Any, expires: float, weight: int) -> None:
        self.key, self.value, self.type = key, value, type
        self.expires, self.weight, self.visited = expires, weight, False


class LocalCache:
    """Entries by key. Values are shared between all readers: they are to be treated as immutable.

    `entries` is public for the hit path of `DistributedCache` alone, which must not pay for a call.
    """

    __slots__ = ("_hand", "_order", "bytes", "entries", "evictions", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self.evictions = 0
        self.entries: dict[str, Entry] = {}
        self._order: list[Entry | None] = []
        self._hand = 0

    def put(self, key: str, value: Any, type: Any, encoded_bytes: int, ttl: float, jitter: float = JITTER) -> None:
        """Keep `value` for `ttl` seconds less up to `jitter` of it. A value over an eighth of L1 is not kept."""
        self.discard(key)
        weight = ENTRY_BYTES + len(key) + encoded_bytes * DECODED_FACTOR
        if ttl <= 0 or weight > self.max_bytes // 8:
            return
        while self.bytes + weight > self.max_bytes:
            self._evict()
        expires = time.monotonic() + ttl * (1 - random.random() * jitter)
        entry = self.entries[key] = Entry(key, value, type, expires, weight)
        self._order.append(entry)
        self.bytes += weight
        if len(self._order) > 2 * len(self.entries) + 64:
            self._compact()

    def discard(self, key: str) -> None:
        """Forget `key`."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry.weight

    def clear(self) -> None:
        """Forget everything."""
        self.entries.clear()
        self._order.clear()
        self._hand = self.bytes = 0

    def __len__(self) -> int:
        return len(self.entries)

    def _evict(self) -> None:
        """SIEVE: the hand passes from the oldest to the newest, spares what was read and takes what was not."""
        now = time.monotonic()
        while True:
            if self._hand >= len(self._order):
                self._compact()
                self._hand = 0
            entry = self._order[self._hand]
            if entry is None or self.entries.get(entry.key) is not entry:
                self._order[self._hand] = None
            elif entry.visited and entry.expires > now:
                entry.visited = False
            else:
                self._order[self._hand] = None
                self.discard(entry.key)
                self.evictions += 1
                self._hand += 1
                return
            self._hand += 1

    def _compact(self) -> None:
        """Drop places whose entries are gone; the hand stays before the same entry."""
        entries = self.entries
        before = [e for e in self._order[: self._hand] if e is not None and entries.get(e.key) is e]
        after = [e for e in self._order[self._hand :] if e is not None and entries.get(e.key) is e]
        self._order = [*before, *after]
        self._hand = len(before)
