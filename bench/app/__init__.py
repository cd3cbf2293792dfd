"""What the app's parts cost next to their peers, measured side by side: `make bench-app`, `python -m bench.app`.

A module of this package lists its measurements in `MEASUREMENTS`. Each is a ratio of two
things done in turn, round after round in one run, so that whatever else the machine does
falls on both; its median is judged against the goal, and the spread is printed with it.
"""

from __future__ import annotations

import importlib.metadata
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

ROUNDS = 15
"""Rounds of each measurement; the first is a warm-up and is not counted."""


@dataclass(frozen=True)
class Measured:
    """A measurement: the ratio of each round, and the median of either side in `unit`."""

    ratios: list[float]
    ours: float
    theirs: float
    unit: str


@dataclass(frozen=True)
class Measurement:
    """One measurement: its name, what it is compared with, the goal, and how it is made.

    `peer` names what is on the other side, `library` the distribution whose version is printed with it.
    The ratio is of costs (`at most` the goal) or of speeds (`at least` the goal), as `bound` says.
    """

    name: str
    peer: str
    bound: Literal["at most", "at least"]
    goal: float
    measure: Callable[[], Awaitable[Measured]]
    library: str = ""

    @property
    def against(self) -> str:
        """The peer with its version."""
        if not self.library:
            return f"{self.peer} (Python {platform.python_version()})"
        return f"{self.peer} ({self.library} {importlib.metadata.version(self.library)})"

    def passes(self, measured: Measured) -> bool:
        """Whether the median meets the goal."""
        median = statistics.median(measured.ratios)
        return median <= self.goal if self.bound == "at most" else median >= self.goal


async def interleaved(
    ours: Callable[[], Awaitable[float]],
    theirs: Callable[[], Awaitable[float]],
    kind: Literal["cost", "speed"],
    rounds: int = ROUNDS,
) -> Measured:
    """Measure both in turn; each call does one turn and returns seconds for one operation.

    `cost` gives the ratio ours / theirs, `speed` theirs / ours: how many times as fast ours is. Who goes first
    alternates, as the second of two finds warmer caches.
    """
    mine, others = [], []
    for number in range(rounds + 1):
        if number % 2:
            one, other = await ours(), await theirs()
        else:
            other, one = await theirs(), await ours()
        if number:
            mine.append(one)
            others.append(other)
    ratios = [one / other if kind == "cost" else other / one for one, other in zip(mine, others, strict=True)]
    return Measured(ratios, statistics.median(mine) * 1e6, statistics.median(others) * 1e6, "us")


def seconds_of_each(calls: int, function: Callable[..., Awaitable[Any]], *args: Any) -> Callable[[], Awaitable[float]]:
    """Seconds of one `await function(*args)`, over `calls` of them."""

    async def turn() -> float:
        began = time.perf_counter()
        for _ in range(calls):
            await function(*args)
        return (time.perf_counter() - began) / calls

    return turn
