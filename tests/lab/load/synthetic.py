"""Made-up samples and runs, whose right report is known."""

from __future__ import annotations

from lab.load.history import History, Outcome, Sample
from lab.load.mix import Mix
from lab.load.run import Load, Result

REGIONS = ("us-west", "eu-central", "ap-south")


def sample(
    at: float = 1,
    seconds: float = 0.01,
    region: str = "us-west",
    route: str = "read",
    status: int = 200,
    outcome: Outcome = "ok",
    error: str = "",
    away: bool = False,
    returned: bool = False,
    user: str = "u",
) -> Sample:
    """A request, a good one unless told otherwise."""
    return Sample(at, seconds, region, route, status, outcome, error, away, returned, user)


def run_of(samples: list[Sample], users: int = 1000, seconds: float = 60) -> Result:
    """A run from moment 0 in which nothing was lost and every WebSocket was held."""
    mix = Mix()
    history = History(samples, live={f"u{number}" for number in range(int(users * mix.websockets / 100))})
    return Result(Load(REGIONS, users, seconds, 0, mix), history, began=0, ended=seconds, checked=users * mix.items)


def even(count: int = 6000, seconds: float = 60, latency: float = 0.01, users: int = 1000) -> list[Sample]:
    """Good requests spread evenly over the regions, the users and the run."""
    return [sample(seconds * n / count, latency, REGIONS[n % 3], user=f"u{n % users}") for n in range(count)]
