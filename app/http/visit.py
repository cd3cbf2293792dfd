"""A signed-in request: whose session it is, and the last write that the session remembers."""

from __future__ import annotations

import contextlib
import datetime
import time
from uuid import UUID

from prometheus_client import Counter

from app.sessions.manager import DistributedSessionManager, Session, SessionsUnreachable
from app.user_data import Footprint

LAST = "last"
"""Where the session's data keeps the footprint."""


class Visit:
    """What the handlers see of the session. `lost` counts the footprints that could not be kept."""

    __slots__ = ("_lost", "_manager", "session", "user", "user_id")

    def __init__(self, session: Session, manager: DistributedSessionManager, lost: Counter) -> None:
        self.session = session
        self.user_id: UUID = session.user_id
        self.user = name_of(session.user_id)
        self._manager = manager
        self._lost = lost

    @property
    def last(self) -> Footprint | None:
        """The session's last write, None before the first. One
        of another version that cannot be read counts as lost.
        """
        text = self.session.data.get(LAST)
        if text is None:
            return None
        try:
            return Footprint.decode(text)
        except ValueError:
            self._lost.inc()
            return None

    def over(self) -> bool:
        """Whether this process knows by itself that the session has ended. The store may know more."""
        return self.session.expires_at <= time.time() or self._manager.is_revoked(self.session)

    async def wrote(self, footprint: Footprint) -> None:
        """Keep the footprint of a write that is committed.

        Where the store does not answer the write stands all the same, so this raises nothing: what is lost is the
        promise to read it back at once in another region.
        """

        def keep(data: dict[str, str]) -> None:
            before = None
            with contextlib.suppress(KeyError, ValueError):
                before = Footprint.decode(data[LAST])
            data[LAST] = footprint.newest(before).encode()

        try:
            await self._manager.update(self.session, keep)
        except SessionsUnreachable:
            self._lost.inc()


def name_of(user_id: UUID) -> str:
    """A user's id as 32 hex digits: what limits and presence know the user by, at half of what `str` costs."""
    return f"{user_id.int:032x}"


def moment(seconds: float) -> datetime.datetime:
    """Seconds since 1970 as a UTC time, whole seconds."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
