"""The traffic: how many users, what they ask, when. Stated here once; the report prints it.

Open loop: requests begin when their time has come, whether or not earlier ones have been answered, and latency counts
from then. Otherwise a slow server would be asked less, and look better than it is.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields

ROUTES = ("read", "me", "list", "write", "session")


@dataclass(frozen=True)
class Mix:
    """Shares of the routes, in percent, and the users' habits.

    `think_seconds`: mean time between two requests of one user, exponentially distributed. `items`: items of a user,
    of which low numbers are asked for more. `websockets`: percent of the users that hold one open. `away`: percent of
    requests that come in through another region's gateway, by users on a journey.
    """

    read: float = 70
    me: float = 8
    list: float = 5
    write: float = 15
    session: float = 2
    think_seconds: float = 5
    items: int = 10
    item_bytes: int = 256
    websockets: float = 10
    away: float = 2

    def routes(self) -> dict[str, float]:
        """Percent by route."""
        return {name: getattr(self, name) for name in ROUTES}

    def described(self) -> str:
        """The mix in a line."""
        shares = ", ".join(f"{value:g}% {name}" for name, value in self.routes().items())
        return (
            f"{shares}; think time {self.think_seconds:g} s; {self.items} items of {self.item_bytes} bytes a user; "
            f"{self.websockets:g}% hold a WebSocket; {self.away:g}% of requests through another region's gateway"
        )


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request to be: when (seconds from the start), whose, which, and through another region's gateway or not."""

    at: float
    user: int
    route: str
    item: int
    away: bool


def arrivals(mix: Mix, users: int, seconds: float, seed: int) -> Iterator[Arrival]:
    """The requests of a run, in order of time: a Poisson stream of `users / think_seconds` a second."""
    chance = random.Random(seed)
    names, weights = zip(*mix.routes().items(), strict=True)
    rate, at = users / mix.think_seconds, 0.0
    while True:
        at += chance.expovariate(rate)
        if at >= seconds:
            return
        yield Arrival(
            at=at,
            user=chance.randrange(users),
            route=chance.choices(names, weights)[0],
            item=min(int(chance.expovariate(0.4)), mix.items - 1),
            away=chance.random() * 100 < mix.away,
        )


def check(mix: Mix) -> None:
    """ValueError where the shares do not add up to 100 or a habit is not a number that makes sense."""
    if round(sum(mix.routes().values()), 6) != 100:
        raise ValueError(f"the shares of the routes add up to {sum(mix.routes().values()):g}, not 100")
    if bad := [f.name for f in fields(mix) if getattr(mix, f.name) < 0]:
        raise ValueError(f"{', '.join(bad)} must not be below 0")
