"""What a session remembers of its last write, whichever version of the app wrote it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import Counter

from app.databases.floor import Floor
from app.http.visit import LAST, Visit
from app.sessions.manager import Session
from app.user_data import Footprint

MINE = Footprint(Floor(1, 2, 3), "us-west", 100.0)


class Manager:
    """Keeps what `update` makes of a session's data."""

    async def update(self, session: Session, change: Callable[[dict[str, Any]], object]) -> None:
        change(session.data)


def visit(last: str | None) -> tuple[Visit, Counter]:
    lost = Counter("lost", "Lost.", registry=None)
    data = {} if last is None else {LAST: last}
    session = Session(
        id="x", user_id=UUID(int=1), region="us-west", created_at=0, last_accessed=0, expires_at=0, data=data
    )
    return Visit(session, Manager(), lost), lost  # type: ignore[arg-type]


def test_a_session_remembers_its_last_write() -> None:
    assert visit(MINE.encode())[0].last == MINE
    assert visit(None)[0].last is None


@pytest.mark.parametrize("text", ["", "later", "2:1.2.3 us-west 100", "1.2.zz us-west 100", "1.2.3 us-west soon"])
async def test_a_footprint_of_another_version_is_a_lost_one_and_is_written_over(text: str) -> None:
    visited, lost = visit(text)
    assert visited.last is None
    assert lost._value.get() == 1
    await visited.wrote(MINE)
    assert visited.last == MINE
