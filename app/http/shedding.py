"""Refusing work before it queues: a process that is full says so at once, and the edge asks another one.

Two signs that a queue grows, whichever comes first. Requests in flight at `max_in_flight`: each waits for a
database or a Redis, and more of them would only wait longer. And the event loop late by more than `TARGET_SECONDS`
for a whole `INTERVAL_SECONDS`: the processor is the bottleneck. A short burst makes the loop late for a moment, a
standing queue keeps it late, so the smallest delay of an interval is what counts, as in CoDel (Nichols and
Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012; their 5 and 100 ms are for packets, ours for requests
with a 200 ms target at p95).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from app.http.problem import Problem, retry_after
from app.metrics import Metrics

TICK_SECONDS = 0.02
TARGET_SECONDS = 0.1
INTERVAL_SECONDS = 1.0
RETRY_SECONDS = (1, 3)
"""Bounds of `Retry-After`, drawn at random so that those who were refused together do not come back together."""


class Shedder:
    """Admits or refuses a request, by what is in flight and by the loop's own delay."""

    def __init__(self, max_in_flight: int, metrics: Metrics) -> None:
        self.max_in_flight = max_in_flight
        self.overloaded = False
        self._requests = metrics.requests
        self._shed = metrics.shed
        self._lag = metrics.loop_lag

    def admit(self) -> None:
        """Raises Problem 503 with `Retry-After` where this process is full."""
        if self._requests.in_flight > self.max_in_flight:
            raise self._refuse("in-flight")
        if self.overloaded:
            raise self._refuse("loop-lag")

    def _refuse(self, reason: str) -> Problem:
        self._shed.labels(reason).inc()
        return Problem(
            503, "overloaded", "This server is full; ask again.", (retry_after(random.randint(*RETRY_SECONDS)),)
        )

    async def watch(self) -> None:
        """Measure the loop's delay until cancelled."""
        delays = _Delays(time.monotonic)  # uvloop's own clock counts in milliseconds and stands still within a turn
        while True:
            due = time.monotonic() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            smallest = delays.add(time.monotonic() - due)
            if smallest is not None:
                self.overloaded = smallest > TARGET_SECONDS
                self._lag.set(smallest)


class _Delays:
    """The smallest delay of each interval."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends = clock() + INTERVAL_SECONDS
        self._smallest = float("inf")

    def add(self, delay: float) -> float | None:
        """Take one delay in seconds; the smallest of the interval where this one ends it, else None."""
        self._smallest = min(self._smallest, max(0.0, delay))
        if self._clock() < self._ends:
            return None
        smallest, self._smallest = self._smallest, float("inf")
        self._ends = self._clock() + INTERVAL_SECONDS
        return smallest
