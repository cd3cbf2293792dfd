"""What was asked and what came of it: every request of a run, and whether every acknowledged write is still there.

A write is `ok` when it was acknowledged, `fail` when it was refused, and `indeterminate` when nobody can tell: the
connection broke, the time ran out, or a server failed after it may have committed. A final read may then show either.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["ok", "fail", "indeterminate"]
TIMEOUT_SECONDS = 10.0
"""After this a request counts as failed; far above every target, so that it hides none."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One request. `at` is its intended start and `seconds` its latency from then; `away`: not the user's own region's
    gateway; `returned`: the first at home after such a one,
    for which the session is fetched back from where it went.
    """

    at: float
    seconds: float
    region: str
    route: str
    status: int
    outcome: Outcome
    error: str = ""
    away: bool = False
    returned: bool = False
    user: str = ""

    @property
    def waited(self) -> float:
        """Seconds that the user waited: of a request that failed at least the time-out, as what was refused at once is
        no faster an answer than none."""
        return self.seconds if self.outcome == "ok" else max(self.seconds, TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True)
class Write:
    """One write of a user's item: the number that it wrote, what came of it, when its answer came, and through which
    region's gateway."""

    number: int
    outcome: Outcome
    answered: float
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class Stale:
    """A read, through `gateway` at `at`, that showed less than the user's own last acknowledged write; and when and
    where the first write that it should have shown was acknowledged.
    """

    at: float
    gateway: str
    acknowledged: float
    written: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A final read that shows what it must not: what was read, what may have been, and when the first acknowledged
    write that is missing was acknowledged (infinity where none is: something shows that was refused)."""

    user: str
    key: str
    read: int | None
    allowed: tuple[int | None, ...]
    acknowledged: float


@dataclass
class History:
    """Samples and writes of a run. Numbers of one item only grow, and one writer at a time writes it."""

    samples: list[Sample] = field(default_factory=list)
    stale: list[Stale] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Good answers with a content that nobody wrote, or another's: what was wrong with each."""
    live: set[str] = field(default_factory=set)
    """Users whose WebSocket answered."""
    writes: dict[tuple[str, str], list[Write]] = field(default_factory=lambda: defaultdict(list))

    def add(self, sample: Sample) -> None:
        """Keep a request."""
        self.samples.append(sample)

    def wrote(self, user: str, key: str, number: int, outcome: Outcome, answered: float, gateway: str = "") -> None:
        """Keep what came of a write."""
        self.writes[user, key].append(Write(number, outcome, answered, gateway))

    def showed(self, user: str, key: str, number: int, at: float, gateway: str) -> None:
        """Keep a read that showed less than the user's own last acknowledged write."""
        missing = self.first_missing(user, key, number)
        assert missing is not None, "a stale read misses an acknowledged write"
        self.stale.append(Stale(at, gateway, missing.answered, missing.gateway))

    def first_missing(self, user: str, key: str, read: int | None) -> Write | None:
        """The first acknowledged write above `read`."""
        above = (w for w in self.writes[user, key] if w.outcome == "ok" and w.number > (read or 0))
        return min(above, key=lambda write: write.number, default=None)

    def possible(self, user: str, key: str) -> set[int | None]:
        """What a final read may show: the last acknowledged number, or an indeterminate one after it. None: nothing."""
        shown: set[int | None] = {None}
        for write in self.writes[user, key]:
            if write.outcome == "ok":
                shown = {write.number}
            elif write.outcome == "indeterminate":
                shown.add(write.number)
        return shown

    def lost(self, final: Iterable[tuple[str, str, int | None]]) -> list[Lost]:
        """Final reads (user, key, what was read) that show what they must not."""
        wrong = []
        for user, key, read in final:
            allowed = self.possible(user, key)
            if read not in allowed:
                order = tuple(sorted(allowed, key=lambda n: -1 if n is None else n))
                missing = self.first_missing(user, key, read)
                wrong.append(Lost(user, key, read, order, float("inf") if missing is None else missing.answered))
        return wrong

    def errors(self) -> Counter[str]:
        """Requests that failed, by kind."""
        return Counter(sample.error or f"status {sample.status}" for sample in self.samples if sample.outcome != "ok")


def percentile(ordered: list[float], percent: float) -> float:
    """The nearest-rank percentile of sorted values; 0 where there are none."""
    if not ordered:
        return 0.0
    rank = max(1, math.ceil(len(ordered) * percent / 100))
    return ordered[rank - 1]
