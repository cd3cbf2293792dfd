from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.databases.slots import Cover, cover, describe, numbers, parse, runs
from app.deployment import SLOTS, KeyRange

SETS = st.sets(st.integers(0, SLOTS - 1))


def ranges(*ends: tuple[int, int]) -> list[KeyRange]:
    return [KeyRange(start=start, end=end) for start, end in ends]


@given(SETS)
def test_runs_say_exactly_the_slots_and_no_two_of_them_touch(slots: set[int]) -> None:
    found = runs(slots)
    assert list(numbers(found)) == sorted(slots)
    assert all(one.end + 1 < other.start for one, other in itertools.pairwise(found))


@given(SETS.filter(bool))
def test_what_is_described_is_read_again(slots: set[int]) -> None:
    assert parse(describe(slots)) == sorted(slots)


def test_slots_are_described_as_ranges() -> None:
    assert describe([7, 1, 2, 3, 9, 8]) == "1-3, 7-9"
    assert describe([400, 0, 1]) == "0-1, 400"


def test_slots_are_read_as_ranges() -> None:
    assert parse("300-302,5") == [5, 300, 301, 302]


@pytest.mark.parametrize("text", ["", "a", "5-1", "0-1000", "-3", "1;2"])
def test_what_is_no_list_of_slots_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"form 300-333,400|has no slots, or some outside 0-999"):
        parse(text)


def test_ranges_that_give_each_slot_an_owner_have_nothing_wrong() -> None:
    found = cover(ranges((500, 999), (0, 499)))
    assert (found.outside, found.overlaps, found.free) == ([], [], [])
    assert (found.owner[0], found.owner[999]) == (1, 0)


def test_what_is_wrong_with_ranges_is_told_by_their_place() -> None:
    found = cover(ranges((0, 9), (8, 11), (5, 4), (9, 9), (12, 1000)))
    assert found.outside == [2, 4]
    assert found.overlaps == [(1, [8, 9]), (3, [9])]
    assert (found.owner[9], found.owner[11]) == (0, 1)
    assert describe(found.free) == "12-999"


def test_no_range_at_all_leaves_every_slot_free() -> None:
    assert cover([]) == Cover({}, [], [], list(range(SLOTS)))
