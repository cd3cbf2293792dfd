"""Tokens that this process holds, by whom they are for: a table that is bounded and never swept as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.limits.buckets import LocalBucket

IDLE_SECONDS = 60.0
LOOKED_AT = 4
"""Of a full table so many of the oldest entries are looked at for each new one: a constant price, however many come."""


class Lease:
    """Tokens that this process holds of one bucket. `local` stands in for the bucket while Redis is away."""

    __slots__ = ("batch", "denied_until", "ends", "local", "tokens", "waiting")

    def __init__(self) -> None:
        self.tokens = 0
        self.ends = 0.0
        self.batch = 1
        self.denied_until = 0.0
        self.waiting: asyncio.Task[None] | None = None
        self.local: LocalBucket | None = None


class Leases:
    """At most `most` leases by name, in the order in which they were made or last spared."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self._most = most
        self._clock = clock
        self._leases: dict[str, Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def get(self, name: str) -> Lease | None:
        """The lease of this name, None where there is none."""
        return self._leases.get(name)

    def new(self, name: str) -> Lease:
        """A lease for a name that has none. In a full table it
        takes the place of one that is idle, or of the oldest.
        """
        leases = self._leases
        if len(leases) >= self._most:
            self._make_room()
        lease = leases[name] = Lease()
        return lease

    def forget_local(self) -> None:
        """Limits or the number of processes changed: what stands in for the buckets is made anew."""
        for lease in self._leases.values():
            lease.local = None

    def _make_room(self) -> None:
        leases, idle = self._leases, self._clock() - IDLE_SECONDS
        for _ in range(LOOKED_AT):
            oldest = next(iter(leases))
            lease = leases.pop(oldest)
            if lease.ends < idle:
                return
            leases[oldest] = lease
        del leases[next(iter(leases))]
