"""Made-up samples and runs, whose right report is known."""

from __future__ import annotations

from lab.load.history import History, Outcome, Sample
from lab.load.mix import Mix
from lab.load.run import Plan, Result

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
) -> Sample:
    """A request, a good one unless told otherwise."""
    return Sample(at, seconds, region, route, status, outcome, error, away, returned)


def run_of(samples: list[Sample], users: int = 1000, seconds: float = 60) -> Result:
    """A run from moment 0 in which nothing was lost."""
    return Result(
        Plan(REGIONS, users, seconds, 0, Mix()), History(samples), began=0, ended=seconds, checked=len(samples)
    )


def even(count: int = 6000, seconds: float = 60, latency: float = 0.01) -> list[Sample]:
    """Good requests spread evenly over the regions and the run."""
    return [sample(seconds * n / count, latency, REGIONS[n % 3]) for n in range(count)]
