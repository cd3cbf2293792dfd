"""The way from a request's cookie to the visit behind it."""

from __future__ import annotations

from prometheus_client import Counter

from app.http.problem import Problem
from app.http.request import Request
from app.http.visit import Visit
from app.sessions.cookie import NAME, clear, read
from app.sessions.manager import DistributedSessionManager

_COOKIE = f"{NAME}=".encode()
CLEAR_COOKIE = (b"set-cookie", clear().encode())


class SignIn:
    """Finds the visit of a request by its cookie."""

    def __init__(self, manager: DistributedSessionManager, lost: Counter) -> None:
        self._manager = manager
        self._lost = lost

    async def __call__(self, request: Request) -> Visit:
        """Raises Problem 401 where there is no session, SessionsUnreachable where that cannot be said."""
        cookies = request.headers.get(b"cookie", b"")
        if cookies.startswith(_COOKIE) and b";" not in cookies:
            session_id: str | None = cookies[len(_COOKIE) :].decode("latin-1")
        else:
            session_id = read(cookies.decode("latin-1"))
        if session_id is None:
            raise Problem(401, "no-session", f"Log in first: there is no cookie {NAME} of the right form.")
        session = await self._manager.get_session(session_id)
        if session is None:
            raise Problem(401, "session-ended", "The session has ended: log in again.", (CLEAR_COOKIE,))
        self._manager.touch(session)
        return Visit(session, self._manager, self._lost)
