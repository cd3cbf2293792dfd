"""`/v1/sessions` and `/v1/session`: log in with the identity provider's token, look, log out."""

from __future__ import annotations

import datetime
from uuid import UUID

import msgspec

from app.http.gate import Gate
from app.http.identity import Identity
from app.http.problem import Problem, unavailable
from app.http.request import Request
from app.http.response import Response, empty, json
from app.http.routing import Access, Answer, Route
from app.http.sign_in import CLEAR_COOKIE
from app.http.visit import moment
from app.sessions.cookie import make, read
from app.sessions.manager import ClientInfo, DistributedSessionManager, Session, SessionsUnreachable
from app.user_data import UserData

AFFINITY_HEADERS = (b"x-user-region", b"cloudfront-viewer-country")


class SessionView(msgspec.Struct, rename="camel"):
    """A session as its user sees it: never its id, which is in the cookie alone."""

    user_id: UUID
    region: str
    created_at: datetime.datetime
    expires_at: datetime.datetime


class SessionRoutes:
    """Sessions over HTTP."""

    def __init__(self, sessions: DistributedSessionManager, identity: Identity, data: UserData, gate: Gate) -> None:
        self._sessions = sessions
        self._identity = identity
        self._data = data
        self._gate = gate

    def routes(self) -> list[Route]:
        """For the routing table."""
        cookie = {"Set-Cookie": "The session's cookie, of this host alone."}
        return [
            Route(
                "POST",
                "/v1/sessions",
                self.create,
                "createSession",
                "Log in with the identity provider's token.",
                Access.TOKEN,
                {201: Answer("The session.", SessionView, cookie)},
                problems=(403,),
            ),
            Route(
                "GET",
                "/v1/session",
                self.get,
                "getSession",
                "Look at the session.",
                Access.SESSION,
                {200: Answer("The session.", SessionView)},
            ),
            Route(
                "DELETE",
                "/v1/session",
                self.delete,
                "deleteSession",
                "Log out, in every region.",
                Access.SESSION,
                {204: Answer("It has ended.", None, cookie)},
            ),
            Route(
                "DELETE",
                "/v1/sessions",
                self.delete_all,
                "deleteSessions",
                "Log out everywhere: end all of the user's sessions.",
                Access.SESSION,
                {204: Answer("All have ended.", None, cookie)},
            ),
        ]

    async def create(self, request: Request) -> Response:
        """A new id whatever cookie came along, and the end of the session that cookie named."""
        user_id = await self._identity.user(request.headers.get(b"authorization"))
        await self._gate.limit_user(user_id)
        if await self._data.registered(user_id) is None:
            raise Problem(403, "not-registered", "This user is not registered.")
        session = await self._sessions.renew(await self._before(request), user_id, _client(request))
        cookie = make(session.id, session.max_age)
        return json(201, _view(session), (b"set-cookie", cookie.encode()))

    async def _before(self, request: Request) -> Session | None:
        """The session that the request's cookie names, if any; one that cannot be read now ends by itself."""
        cookies = request.headers.get(b"cookie")
        session_id = None if cookies is None else read(cookies.decode("latin-1"))
        if session_id is None:
            return None
        try:
            return await self._sessions.get_session(session_id)
        except SessionsUnreachable:
            return None

    async def get(self, request: Request) -> Response:
        """The session of the cookie."""
        return json(200, _view(request.visit.session))

    async def delete(self, request: Request) -> Response:
        """204 once the region that has the session took it; the others are told until they answer."""
        try:
            await self._sessions.delete_session(request.visit.session)
        except SessionsUnreachable:
            raise _not_ended() from None
        return empty(204, CLEAR_COOKIE)

    async def delete_all(self, request: Request) -> Response:
        """204 once every region took it: each may have one of the user's sessions."""
        try:
            await self._sessions.delete_sessions_of(request.visit.user_id)
        except SessionsUnreachable:
            raise _not_ended() from None
        return empty(204, CLEAR_COOKIE)


def _not_ended() -> Problem:
    return unavailable(
        "log-out-unfinished", "A region has not taken the log-out yet. It is tried on; ask again to be sure."
    )


def _view(session: Session) -> SessionView:
    return SessionView(session.user_id, session.region, moment(session.created_at), moment(session.expires_at))


def _client(request: Request) -> ClientInfo:
    """What the edge said of the client. Nobody but the edge reaches this port."""
    headers = request.headers
    return ClientInfo(
        ip_address=headers.get(b"x-real-ip", b"").decode("latin-1"),
        headers={name.decode(): headers[name].decode("latin-1") for name in AFFINITY_HEADERS if name in headers},
    )
