"""The way in: whose request it is, and whether it is within the limits.

A user's token and one of the global limit are taken together, from leases in this process
(app/limits/limiter.py), once the session has said who the user is. A request without a session is
counted to its address; so is one whose cookie is refused, so that guessing cookies is limited too.
"""

from __future__ import annotations

from uuid import UUID

from app.http.presence import Presence
from app.http.problem import Problem, retry_after
from app.http.request import Request
from app.http.routing import Access, Route
from app.http.sign_in import SignIn
from app.http.visit import Visit, name_of
from app.limits.addresses import holder
from app.limits.limiter import Decision, RateLimiter
from app.metrics import Metrics


class Gate:
    """Admits requests; the application's `admit`."""

    def __init__(self, sign_in: SignIn, limits: RateLimiter, presence: Presence, metrics: Metrics) -> None:
        self._sign_in = sign_in
        self._limits = limits
        self._presence = presence
        self._denied = metrics.limit_denied

    async def admit(self, request: Request, route: Route) -> None:
        """Set `request.visit` where the route needs a session.

        Raises: Problem 429 with Retry-After, Problem 401, SessionsUnreachable.
        """
        if route.access is not Access.SESSION:
            await self.limit_address(request)
            return
        request.visit = await self.enter(request)

    async def enter(self, request: Request) -> Visit:
        """The visit of a request that needs a session, within the limits. Raises as `admit`."""
        try:
            visit = await self._sign_in(request)
        except Problem:
            await self.limit_address(request)
            raise
        decision = await self._limits.check(visit.user)
        if not decision.allowed:
            raise self._refuse(decision)
        self._presence.saw(visit.user)
        return visit

    async def limit_address(self, request: Request) -> None:
        """Count the request to its address, which the edge's X-Real-IP tells. Raises Problem 429."""
        whose = holder(request.headers.get(b"x-real-ip"))
        if whose is None:
            decision = await self._limits.check_global()
        else:
            decision = await self._limits.check_key(whose)
        if not decision.allowed:
            raise self._refuse(decision)

    async def limit_user(self, user_id: UUID) -> None:
        """Count a request to a user whom a token named. Raises Problem 429."""
        decision = await self._limits.check(name_of(user_id))
        if not decision.allowed:
            raise self._refuse(decision)

    def _refuse(self, decision: Decision) -> Problem:
        self._denied.labels(decision.limit).inc()
        return Problem(
            429,
            "too-many-requests",
            f"The {decision.limit} rate limit is reached.",
            (retry_after(decision.retry_after),),
        )
