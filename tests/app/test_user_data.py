"""What a session remembers of its last write."""

from __future__ import annotations

import pytest

from app.databases.floor import Floor
from app.user_data import Footprint


def test_a_footprint_survives_its_text() -> None:
    footprint = Footprint(Floor(2, 7, 0xABCDEF), "eu-central", 1_700_000_000)
    assert Footprint.decode(footprint.encode()) == footprint


def test_of_two_writes_the_later_place_and_the_higher_floor_count() -> None:
    first = Footprint(Floor(1, 1, 500), "us-west", 100)
    second = Footprint(Floor(1, 1, 300), "eu-central", 200)
    assert first.newest(second) == second.newest(first) == Footprint(Floor(1, 1, 500), "eu-central", 200)
    assert first.newest(None) == first


@pytest.mark.parametrize("text", ["", "1.1.a", "1.1.a us-west", "x us-west 1", "1.1.a us-west 1 2"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which one does not matter
        Footprint.decode(text)
