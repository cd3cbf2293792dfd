"""The probes. Liveness asks nothing of anybody; readiness asks this process alone (the rule: `Drain`).

Readiness also says which dependencies this process has given up on for now (the breakers that are open): it tells
whoever looks, and changes nothing in the answer's status, as every process sees the same dead store.
"""

from __future__ import annotations

import msgspec

from app.drain import Drain
from app.http.problem import Problem
from app.http.request import Request
from app.http.response import Response, json
from app.http.routing import Access, Answer, Route
from app.redis.breakers import CLOSED, Breakers


class Health(msgspec.Struct, omit_defaults=True):
    """What a probe reads. `failing`: dependencies and their regions, as in `sessions-write us-west`."""

    status: str
    failing: tuple[str, ...] = ()


class HealthRoutes:
    """`/healthz` and `/readyz`."""

    def __init__(self, drain: Drain, breakers: Breakers) -> None:
        self._drain = drain
        self._breakers = breakers

    def routes(self) -> list[Route]:
        """Both, for the routing table."""
        return [
            Route(
                "GET",
                "/healthz",
                self.live,
                "getHealth",
                "Whether the process lives; no dependency is asked.",
                Access.PROBE,
                {200: Answer("It lives.", Health)},
            ),
            Route(
                "GET",
                "/readyz",
                self.ready,
                "getReadiness",
                "Whether the process takes work.",
                Access.PROBE,
                {200: Answer("It does.", Health)},
                problems=(503,),
            ),
        ]

    async def live(self, _: Request) -> Response:
        """200, always."""
        return json(200, Health("alive"))

    async def ready(self, _: Request) -> Response:
        """200, or 503 before the start is over and from SIGTERM on."""
        if self._drain.ready:
            failing = (f"{one.dependency} {one.region}" for one in self._breakers.samples() if one.state != CLOSED)
            return json(200, Health("ready", tuple(failing)))
        reason = "It is draining." if self._drain.draining else "It has not come up yet."
        raise Problem(503, "not-ready", reason)
