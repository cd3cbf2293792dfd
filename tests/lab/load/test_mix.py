from __future__ import annotations

from collections import Counter

import pytest

from lab.load.mix import ROUTES, Mix, arrivals, check


def test_the_default_shares_add_up() -> None:
    check(Mix())


def test_shares_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="add up to 110"):
        check(Mix(read=80))


def test_a_negative_habit_is_named() -> None:
    with pytest.raises(ValueError, match="think_seconds"):
        check(Mix(think_seconds=-1))


def test_arrivals_come_in_order_within_the_run_and_at_the_rate_of_the_users_habits() -> None:
    came = list(arrivals(Mix(think_seconds=5), users=1000, seconds=50, seed=1))
    times = [arrival.at for arrival in came]
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 50
    assert len(came) == pytest.approx(10_000, rel=0.05)


def test_arrivals_follow_the_mix() -> None:
    came = list(arrivals(Mix(), users=1000, seconds=100, seed=2))
    counted = Counter(arrival.route for arrival in came)
    for route in ROUTES:
        assert 100 * counted[route] / len(came) == pytest.approx(Mix().routes()[route], abs=1)
    assert 100 * sum(arrival.away for arrival in came) / len(came) == pytest.approx(Mix().away, abs=0.5)
    assert {arrival.item for arrival in came} == set(range(Mix().items))


def test_one_seed_gives_one_run() -> None:
    def drawn(seed: int) -> list[object]:
        return list(arrivals(Mix(), 10, 20, seed))

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


def test_the_mix_says_all_of_itself() -> None:
    said = Mix().described()
    assert "70% read" in said
    assert "think time 5 s" in said
    assert "2% of requests through another region's gateway" in said
