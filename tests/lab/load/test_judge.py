from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from lab.faults import FAULTS
from lab.load import judge
from lab.load.history import Lost, Sample, Stale
from lab.load.judge import Check, Evidence
from tests.lab.load.synthetic import even, sample

BROKE, STRUCK, BROKEN, MENDING, MENDED = 20.0, 20.5, 21.0, 40.0, 42.0
VICTIM = "eu-central"
LATE = MENDED + judge.SETTLING_SECONDS + 1


def failed(at: float, route: str = "read", region: str = VICTIM, status: int = 503, seconds: float = 0.05) -> Sample:
    return sample(at, seconds, region, route, status, "fail")


def verdict(found: Callable[[Evidence], Iterable[Check]], *samples: Sample) -> bool:
    evidence = Evidence([*even(), *samples], BROKE, STRUCK, BROKEN, MENDING, MENDED, VICTIM)
    return all(check.passed for check in found(evidence))


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_run_without_a_failure_passes_every_judge(name: str) -> None:
    assert verdict(FAULTS[name].judge)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_session_refused_fails_every_judge(name: str) -> None:
    assert not verdict(FAULTS[name].judge, failed(30, status=401))


@pytest.mark.parametrize(
    "name",
    [
        "region-killed",
        "region-isolated",
        "primary-killed",
        "sessions-killed",
        "connections-exhausted",
        "link-cut",
        "link-slow",
    ],
)
def test_a_failure_long_after_the_heal_is_never_excused(name: str) -> None:
    assert not verdict(FAULTS[name].judge, failed(LATE, "write"))


@pytest.mark.parametrize("name", ["rolling-deploy", "key-rotated", "slots-moved"])
def test_a_planned_change_may_cost_no_request_at_all(name: str) -> None:
    assert not verdict(FAULTS[name].judge, failed(BROKE))


def test_a_killed_app_may_fail_what_was_in_flight_and_nothing_else() -> None:
    assert verdict(FAULTS["app-killed"].judge, failed(STRUCK - 0.1, seconds=0.2))
    assert not verdict(FAULTS["app-killed"].judge, failed(STRUCK + 1))


def test_a_killed_primary_may_fail_its_shard_s_writes_until_the_standby_is_found_but_no_read() -> None:
    assert verdict(FAULTS["primary-killed"].judge, failed(BROKEN + 1, "write"))
    assert not verdict(FAULTS["primary-killed"].judge, failed(BROKEN + judge.SETTLING_SECONDS + 1, "write"))
    assert not verdict(FAULTS["primary-killed"].judge, failed(BROKEN + 1, "write", "us-west"))
    assert not verdict(FAULTS["primary-killed"].judge, failed(STRUCK, "read"))


def test_a_killed_session_store_may_fail_its_own_users_alone() -> None:
    assert verdict(FAULTS["sessions-killed"].judge, failed(30))
    assert not verdict(FAULTS["sessions-killed"].judge, failed(30, region="us-west"))


def test_a_hurt_link_may_neither_fail_nor_slow_who_is_at_home() -> None:
    assert not verdict(FAULTS["link-cut"].judge, failed(30, region="us-west"))
    slow = [sample(30 + n / 1000, 0.3) for n in range(200)]
    assert not verdict(FAULTS["link-slow"].judge, *slow)
    away = [sample(30, 0.3, away=True), sample(30, outcome="fail", status=503, away=True)]
    assert verdict(FAULTS["link-slow"].judge, *away)
    fetched = [sample(30 + n / 1000, 0.3, returned=True) for n in range(200)]
    assert verdict(FAULTS["link-slow"].judge, *fetched)


def test_a_lost_region_may_fail_what_was_in_flight_and_no_write_after_it() -> None:
    assert verdict(FAULTS["region-killed"].judge, failed(STRUCK - 0.1, "write", seconds=0.2))
    assert not verdict(FAULTS["region-killed"].judge, *(failed(25 + n / 10, "write") for n in range(10)))


ASYNCHRONOUS = ["region-killed", "region-isolated"]


def judged(name: str, **values: object) -> dict[str, bool]:
    evidence = Evidence(even(), BROKE, STRUCK, BROKEN, MENDING, MENDED, VICTIM, **values)  # type: ignore[arg-type]
    return {check.name: check.passed for check in FAULTS[name].judge(evidence)}


def lost(acknowledged: float) -> Lost:
    return Lost("u", "item", 1, (2,), acknowledged)


def stale(acknowledged: float, gateway: str = "us-west", written: str = "us-west", at: float = 30) -> Stale:
    return Stale(at, gateway, acknowledged, written)


def test_in_an_isolated_region_nobody_can_know_what_was_written_outside() -> None:
    name = "stale reads of one's own writes"
    assert judged("region-isolated", fenced=23.0, stale=[stale(30, VICTIM, "us-west", 31)])[name]
    for wrong in (stale(30, VICTIM, VICTIM, 31), stale(30, "us-west", VICTIM, 31), stale(5, VICTIM, "us-west", 31)):
        assert not judged("region-isolated", fenced=23.0, stale=[wrong])[name]
    assert not judged("region-isolated", fenced=23.0, stale=[stale(30, VICTIM, "us-west", LATE)])[name]
    assert not judged("region-killed", fenced=23.0, stale=[stale(30, VICTIM, "us-west", 31)])[name]


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_a_promotion_elsewhere_may_cost_what_the_lag_held_back_until_the_fence(name: str) -> None:
    for acknowledged in (BROKE - 0.2, BROKE, 22.9):
        assert all(judged(name, fenced=23.0, lag=0.25, lost=[lost(acknowledged)], stale=[stale(acknowledged)]).values())


@pytest.mark.parametrize("name", ASYNCHRONOUS)
@pytest.mark.parametrize("acknowledged", [5.0, BROKE - 0.3, 23.1, 30.0, float("inf")])
def test_a_write_acknowledged_before_the_lag_or_after_the_fence_must_be_there(name: str, acknowledged: float) -> None:
    assert not judged(name, fenced=23.0, lag=0.25, lost=[lost(acknowledged)])["acknowledged writes lost"]
    assert not judged(name, fenced=23.0, lag=0.25, stale=[stale(acknowledged)])["stale reads of one's own writes"]


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_without_a_promotion_nothing_may_be_lost(name: str) -> None:
    assert not judged(name, fenced=None, lag=0.25, lost=[lost(BROKE)])["acknowledged writes lost"]


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_two_primaries_of_a_shard_fail(name: str) -> None:
    assert not judged(name, writable=2)["primaries of a shard at once"]


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_census_that_never_saw_a_primary_counted_nothing_and_fails(name: str) -> None:
    assert not judged(name, writable=0)["primaries of a shard at once"]


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_that_nobody_was_there_to_meet_is_not_passed(name: str) -> None:
    before = [sample(BROKE - 5)] * 6000
    found = FAULTS[name].judge(Evidence(before, BROKE, STRUCK, BROKEN, MENDING, MENDED, VICTIM))
    assert not {check.name: check.passed for check in found}["requests under way meanwhile"]


def test_an_isolated_region_may_fail_its_own_users_writes_alone() -> None:
    assert verdict(FAULTS["region-isolated"].judge, failed(30, "write"))
    assert verdict(FAULTS["region-isolated"].judge, sample(30, 0.1, VICTIM, status=503, outcome="fail", returned=True))
    assert not verdict(FAULTS["region-isolated"].judge, failed(30, "read"))
    assert not verdict(FAULTS["region-isolated"].judge, failed(30, "write", "us-west"))


def test_a_server_without_connections_may_refuse_its_own_users_and_only_by_503() -> None:
    assert verdict(FAULTS["connections-exhausted"].judge, failed(30, "write"))
    assert not verdict(FAULTS["connections-exhausted"].judge, failed(30, "write", status=500))
    assert not verdict(FAULTS["connections-exhausted"].judge, failed(30, "write", "us-west"))


def test_a_lost_region_fails_where_another_region_s_users_notice() -> None:
    assert not verdict(FAULTS["region-killed"].judge, failed(30, region="us-west"))


def test_what_is_told_counts_failures_by_when_they_happened() -> None:
    evidence = Evidence(
        [failed(BROKE), failed(30, "write"), failed(LATE), failed(5)], BROKE, STRUCK, BROKEN, MENDING, MENDED, VICTIM
    )
    assert list(judge.told(evidence))[1] == (
        "failed: 1 in flight at the fault, 1 from then until the heal was done (1 of them writes), 1 after it, 1 before"
    )


def test_the_time_to_settle_after_a_heal_is_three_seconds() -> None:
    assert verdict(FAULTS["connections-exhausted"].judge, failed(MENDED + 2.9))
    assert not verdict(FAULTS["connections-exhausted"].judge, failed(MENDED + 3.1))
