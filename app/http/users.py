"""`POST /v1/users`: the identity provider registers a user; `GET /v1/me`: the user looks."""

from __future__ import annotations

import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from app.http.conditions import IDEMPOTENCY_KEY, idempotency_key
from app.http.identity import Identity
from app.http.problem import Problem
from app.http.request import Request
from app.http.response import Response, json
from app.http.routing import Access, Answer, Route
from app.http.visit import moment
from app.user_data import UserData


class NewUser(msgspec.Struct, forbid_unknown_fields=True):
    """A user to register. `region`: where they live; the shard that will hold their data is at home there."""

    region: str


class RegisteredUser(msgspec.Struct, rename="camel"):
    """A user. `id` is the subject that the identity provider puts into this user's tokens."""

    id: UUID
    region: str
    created_at: datetime.datetime


class Me(msgspec.Struct, rename="camel"):
    """The signed-in user, the region whose session store has the session, and until when it lasts."""

    id: UUID
    region: str
    created_at: datetime.datetime
    session_region: str
    session_expires_at: datetime.datetime


def _described(regions: frozenset[str]) -> Any:
    """`NewUser` as the OpenAPI document shows it: with the regions that this deployment takes."""
    schema = msgspec.Meta(extra_json_schema={"enum": sorted(regions)})
    return msgspec.defstruct(
        NewUser.__name__, [("region", Annotated[str, schema])], bases=(NewUser,), namespace={"__doc__": NewUser.__doc__}
    )


class UserRoutes:
    """Users over HTTP. `regions` are those of the deployment."""

    def __init__(self, data: UserData, identity: Identity, regions: frozenset[str]) -> None:
        self._data = data
        self._identity = identity
        self._regions = regions
        self._new_user = msgspec.json.Decoder(NewUser)

    def routes(self) -> list[Route]:
        """For the routing table."""
        return [
            Route(
                "POST",
                "/v1/users",
                self.register,
                "registerUser",
                "Register a user (the identity provider).",
                Access.SERVICE,
                {201: Answer("The user.", RegisteredUser)},
                body=_described(self._regions),
                parameters=(IDEMPOTENCY_KEY,),
                problems=(413, 415, 422),
            ),
            Route(
                "GET",
                "/v1/me",
                self.me,
                "getMe",
                "Who is signed in.",
                Access.SESSION,
                {200: Answer("The user and the session.", Me)},
            ),
        ]

    async def register(self, request: Request) -> Response:
        """The same Idempotency-Key names the same user, for ever: the id is drawn from it."""
        service = await self._identity.service(request.headers.get(b"authorization"))
        key = idempotency_key(request)
        wanted = await request.decode(self._new_user)
        if wanted.region not in self._regions:
            known = ", ".join(sorted(self._regions))
            raise Problem(422, "region", f"There is no such region; there are {known}.")
        user = await self._data.register(wanted.region, None if key is None else f"{service} {wanted.region} {key}")
        return json(201, RegisteredUser(user.id, user.region, user.created_at))

    async def me(self, request: Request) -> Response:
        """The user, from the cache or the nearest replica."""
        visit = request.visit
        user = await self._data.user(visit.user_id, visit.last)
        if user is None:
            raise Problem(403, "not-registered", "This user is not registered.")
        return json(
            200, Me(user.id, user.region, user.created_at, visit.session.region, moment(visit.session.expires_at))
        )
