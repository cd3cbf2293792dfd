from __future__ import annotations

import pytest

from lab.load.history import History, Lost, Sample, percentile


def history(*outcomes: str) -> History:
    kept = History()
    for number, outcome in enumerate(outcomes, start=1):
        kept.wrote("u", "item", number, outcome, float(number))  # type: ignore[arg-type]
    return kept


@pytest.mark.parametrize(
    ("outcomes", "allowed"),
    [
        ([], {None}),
        (["ok"], {1}),
        (["ok", "ok"], {2}),
        (["fail"], {None}),
        (["ok", "fail"], {1}),
        (["indeterminate"], {None, 1}),
        (["ok", "indeterminate"], {1, 2}),
        (["ok", "indeterminate", "indeterminate"], {1, 2, 3}),
        (["indeterminate", "ok"], {2}),
        (["ok", "indeterminate", "fail"], {1, 2}),
    ],
)
def test_a_final_read_may_show_the_last_acknowledged_write_or_an_indeterminate_one_after_it(
    outcomes: list[str], allowed: set[int | None]
) -> None:
    assert history(*outcomes).possible("u", "item") == allowed


def test_a_lost_acknowledged_write_is_told_with_what_was_read_and_what_may_have_been() -> None:
    assert history("ok", "ok").lost([("u", "item", 1)]) == [Lost("u", "item", 1, (2,), 2.0)]


def test_a_write_that_vanished_is_lost() -> None:
    assert history("ok", "ok").lost([("u", "item", None)]) == [Lost("u", "item", None, (2,), 1.0)]


def test_a_refused_write_that_shows_is_told_too() -> None:
    assert history("ok", "fail").lost([("u", "item", 2)]) == [Lost("u", "item", 2, (1,), float("inf"))]


def test_what_is_there_is_not_lost() -> None:
    assert history("ok", "indeterminate").lost([("u", "item", 2)]) == []


def test_errors_are_counted_by_kind() -> None:
    kept = History()
    kept.add(Sample(0, 0.1, "us-west", "read", 200, "ok"))
    kept.add(Sample(0, 0.1, "us-west", "read", 503, "fail"))
    kept.add(Sample(0, 0.1, "us-west", "write", 0, "indeterminate", "ServerDisconnectedError"))
    assert kept.errors() == {"status 503": 1, "ServerDisconnectedError": 1}


def test_the_percentile_is_of_the_nearest_rank() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert [percentile(ordered, p) for p in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([7.0], 99) == 7.0
    assert percentile([], 50) == 0.0
