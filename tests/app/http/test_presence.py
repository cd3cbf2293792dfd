"""Concurrent users: by requests of the last minute and by open WebSockets."""

from __future__ import annotations

from uuid import uuid4

import pytest

from app.http import presence
from app.http.presence import Presence


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_user_counts_once_until_the_window_is_over() -> None:
    clock = Clock()
    here = Presence(60, clock)
    first, second = str(uuid4()), str(uuid4())
    here.saw(first)
    clock.now = 30
    here.saw(second)
    here.saw(second)
    assert here.count() == 2
    clock.now = 61
    assert here.count() == 1
    clock.now = 91
    assert here.count() == 0


def test_a_later_request_prolongs_a_stay() -> None:
    clock = Clock()
    here = Presence(60, clock)
    first, second = str(uuid4()), str(uuid4())
    here.saw(first)
    here.saw(second)
    clock.now = 50
    here.saw(first)
    clock.now = 70
    assert here.count() == 1


def test_an_open_socket_counts_without_a_request_and_its_user_once() -> None:
    clock = Clock()
    here = Presence(60, clock)
    user = str(uuid4())
    here.opened(user)
    here.opened(user)
    here.saw(user)
    clock.now = 1000
    assert here.count() == 1
    here.closed(user)
    clock.now = 2000
    assert here.count() == 1
    here.closed(user)
    assert here.count() == 1
    clock.now = 3000
    assert here.count() == 0


def test_users_who_left_are_forgotten_without_a_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "PRUNE_ABOVE", 10)
    clock = Clock()
    here = Presence(60, clock)
    for _ in range(1000):
        clock.now += 30
        here.saw(str(uuid4()))
    assert len(here._seen) <= 11


def test_who_was_seen_since_a_moment_is_told_with_all_who_are_connected() -> None:
    clock = Clock()
    here = Presence(60, clock)
    early, late, connected = (uuid4().hex for _ in range(3))
    here.saw(early)
    here.opened(connected)
    clock.now = 10
    here.saw(late)
    assert here.since(5) == {late, connected}
    clock.now = 20
    here.saw(early)
    assert here.since(5) == {early, late, connected}
