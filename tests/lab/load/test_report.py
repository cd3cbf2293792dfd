from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest

from lab.load import report
from lab.load.history import TIMEOUT_SECONDS, Lost, Stale
from lab.load.judge import Check
from lab.load.measure import Counts
from lab.load.report import Report
from tests.lab.load.synthetic import even, run_of, sample


def verdicts(made: Report) -> dict[str, bool]:
    return {check.name: check.passed for check in made.checks}


def test_a_run_within_every_target_passes() -> None:
    made = report.make(run_of(even()), {}, {})
    assert made.passed
    assert made.requests == 6000
    assert made.requests_per_second == 100
    assert "FAIL" not in report.text(made)


@pytest.mark.parametrize(
    ("missed", "samples"),
    [
        ("latency p50", even(latency=0.06)),
        ("latency p95", even(5600) + [sample(seconds=0.21)] * 400),
        ("latency p99", even(5900) + [sample(seconds=0.51)] * 100),
        ("availability", even(5990) + [sample(status=503, outcome="fail")] * 10),
    ],
)
def test_a_missed_target_is_a_fail_in_every_form(missed: str, samples: list[object]) -> None:
    made = report.make(run_of(samples), {}, {})  # type: ignore[arg-type]
    assert not made.passed
    assert verdicts(made)[missed] is False
    assert re.search(rf"FAIL  {missed}", report.text(made))
    assert re.search(rf"<td>{missed}</td>.*?>FAIL<", report.html(made), re.DOTALL)


def test_a_run_without_a_single_answer_meets_no_target() -> None:
    made = report.make(run_of([]), {}, {})
    assert not any(verdicts(made)[name] for name in ("latency p50", "latency p95", "latency p99", "availability"))


def test_too_few_users_fail() -> None:
    assert verdicts(report.make(run_of(even(users=90), users=90), {}, {}))["concurrent users"] is False


def test_users_are_those_that_were_answered_and_not_those_that_were_planned() -> None:
    made = report.make(run_of(even(users=999), users=1000), {}, {})
    assert verdicts(made)["concurrent users"] is False
    refused = [sample(user=f"x{n}", status=503, outcome="fail") for n in range(3)]
    assert verdicts(report.make(run_of([*even(users=999), *refused]), {}, {}))["concurrent users"] is False


def test_a_websocket_that_never_answered_fails_the_run() -> None:
    run = run_of(even())
    run.history.live.pop()
    assert verdicts(report.make(run, {}, {}))["WebSockets answered"] is False


@pytest.mark.parametrize("fault", ["", "link-cut", "region-killed"])
def test_a_run_that_did_not_read_every_item_back_does_not_pass(fault: str) -> None:
    run = run_of(even())
    run.checked -= 1
    assert verdicts(report.make(run, {}, {}, fault, asynchronous=fault == "region-killed"))["items read back"] is False


@pytest.mark.parametrize("fault", ["", "link-cut"])
def test_an_answer_that_is_another_s_fails_whatever_the_fault(fault: str) -> None:
    run = run_of(even())
    run.history.wrong.append("another user's item")
    assert verdicts(report.make(run, {}, {}, fault))["answers nobody wrote, or another's"] is False


def test_a_lost_write_and_a_stale_read_fail() -> None:
    run = run_of(even())
    run.lost = [Lost("u", "item", None, (1,), 30.0)]
    run.history.stale.append(Stale(31.0, "us-west", 30.0, "us-west"))
    found = verdicts(report.make(run, {}, {}))
    assert (found["acknowledged writes lost"], found["stale reads of one's own writes"]) == (False, False)


def test_what_an_asynchronous_fault_costs_is_its_judge_s_to_say() -> None:
    run = run_of(even())
    run.lost = [Lost("u", "item", None, (1,), 30.0)]
    made = report.make(run, {}, {}, "region-killed", [], [Check("lost", "1", "0 but", True)], asynchronous=True)
    assert set(verdicts(made)) == {"lost", "answers nobody wrote, or another's", "items read back"}
    assert (made.lost_writes, made.passed) == (1, True)


def test_a_fault_is_held_against_its_invariant_and_not_against_the_targets() -> None:
    made = report.make(run_of(even(latency=0.4)), {}, {}, "link-cut", ["cut"], [Check("failed", "3", "0", False)])
    assert "latency p50" not in verdicts(made)
    assert not made.passed
    assert "FAIL  failed" in report.text(made)


def test_failures_do_not_count_as_fast_answers() -> None:
    made = report.make(run_of(even(100) + [sample(seconds=0.0001, status=503, outcome="fail")] * 900), {}, {})
    assert (made.rows[0].requests, made.rows[0].p50) == (1000, TIMEOUT_SECONDS)
    assert made.errors == {"status 503": 900}


def test_a_request_that_timed_out_counts_in_every_percentile() -> None:
    timed_out = [sample(seconds=TIMEOUT_SECONDS, status=0, outcome="fail", error="no answer")] * 600
    made = report.make(run_of(even(5400) + timed_out), {}, {})
    assert (made.rows[0].p99, made.rows[0].worst) == (TIMEOUT_SECONDS, TIMEOUT_SECONDS)
    assert verdicts(made)["latency p99"] is False


def test_a_run_too_small_to_support_its_claim_does_not_pass_it() -> None:
    assert verdicts(report.make(run_of(even(5999)), {}, {}))["requests that support it"] is False
    assert verdicts(report.make(run_of(even(6000)), {}, {}))["requests that support it"] is True


def test_few_requests_are_said_to_be_too_few_for_the_availability() -> None:
    assert any("fewer than the 6000" in note for note in report.make(run_of(even(100)), {}, {}).notes)
    assert not any("fewer" in note for note in report.make(run_of(even()), {}, {}).notes)


def test_requests_through_another_region_are_a_row_and_a_share_of_their_own() -> None:
    made = report.make(run_of(even(75) + [sample(seconds=0.3, away=True)] * 25), {}, {})
    rows = {row.group: row for row in made.rows}
    assert made.cross_region_share == 25
    assert rows["through another region"].requests == 25
    assert rows["us-west"].requests == 25


def test_the_cache_s_shares_come_from_what_the_app_counted_meanwhile() -> None:
    def counts(hits: float, asked: float, l1: float) -> Counts:
        level = frozenset({("level", "l1")})
        return {
            ("hal9_cache_hits", frozenset()): hits,
            ("hal9_cache_requests", frozenset()): asked,
            ("hal9_cache_level_hits_total", level): l1,
        }

    made = report.make(run_of(even()), {"us-west": counts(50, 100, 20)}, {"us-west": counts(140, 200, 90)})
    assert (made.cache_hit_rate, made.l1_hit_rate) == (90, 70)


def test_the_three_files_say_the_same(tmp_path: Path) -> None:
    made = report.make(run_of(even()), {}, {})
    paths = report.write(made, tmp_path)
    assert [path.name for path in paths] == ["report.txt", "report.json", "report.html"]
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report) == made
    assert json.loads((tmp_path / "report.json").read_text())["requests"] == 6000
    assert "6000 requests" in (tmp_path / "report.html").read_text()


def test_the_page_loads_nothing() -> None:
    page = report.html(report.make(run_of(even()), {}, {}))
    assert not re.search(r"(src|href)=|url\(|@import|<script", page)
    assert page.count("<svg") == 2
    assert page.count("<polyline") == 4


def test_text_from_elsewhere_is_escaped_in_the_page() -> None:
    made = report.make(run_of([*even(), sample(outcome="fail", status=0, error="<b>x</b>")]), {}, {})
    assert "<b>x</b>" not in report.html(made)
