"""`.ci/run`: a red lane is red whatever the others say, and an absent tool is never silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import lanes
from tools.lanes import ABSENT, Lane, LanesError, Result, chosen, counted, groups, run, table

REAL = lanes.lanes()


def outcome(directory: Path, *some: Lane, in_ci: bool = False) -> list[Result]:
    return run(some, directory / "out", directory, in_ci)


@pytest.mark.parametrize("broken", [lane.name for lane in REAL])
def test_each_lane_that_fails_makes_the_whole_red_and_hides_no_other(broken: str, tmp_path: Path) -> None:
    some = [Lane(lane.name, "false" if lane.name == broken else "true", lane.beside, lane.may_skip) for lane in REAL]
    results = outcome(tmp_path, *some, in_ci=True)
    assert [result.lane.name for result in results if result.red] == [broken]
    assert len(results) == len(REAL)


@pytest.mark.parametrize("lane", REAL, ids=[lane.name for lane in REAL])
def test_an_absent_tool_is_named_at_home_and_red_in_ci_unless_the_table_says_why(lane: Lane, tmp_path: Path) -> None:
    absent = Lane(lane.name, f"echo not installed: x; exit {ABSENT}", may_skip=lane.may_skip)
    at_home, in_ci = outcome(tmp_path, absent)[0], outcome(tmp_path, absent, in_ci=True)[0]
    assert at_home.skipped
    assert at_home.outcome == "skipped: not installed: x"
    assert in_ci.red == (not lane.may_skip)


def test_the_exit_status_is_that_of_the_worst_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lanes.toml"
    file.write_text('[good]\nrun = "true"\n[bad]\nrun = "false"\n')
    monkeypatch.setattr(lanes, "ROOT", tmp_path)
    found = lanes.lanes(file)
    monkeypatch.setattr(lanes, "lanes", lambda: found)
    assert lanes.main(["good"]) == 0
    assert lanes.main([]) == 1
    assert lanes.main(["none"]) == 2


def test_counts_come_from_the_closing_lines_alone() -> None:
    said = [
        "collected 9 items",
        "3 passed in the text",
        "== 7 passed, 2 skipped, 1 error in 3.21s ==",
        "4 passed, 1 failed",
    ]
    assert counted(said) == {"passed": 11, "failed": 2, "skipped": 2}


def test_the_table_ends_with_a_line_that_counts_lanes(tmp_path: Path) -> None:
    results = outcome(tmp_path, Lane("a", "echo '= 5 passed in 1.0s ='"), Lane("b", "exit 3"))
    lines = table(results).splitlines()
    assert lines[1].split() == ["a", "0", "5", "0", "0", "passed"]
    assert lines[2].split()[-3:] == ["red:", "exit", "3"]
    assert lines[-1] == "lanes: 1 passed, 1 failed, 0 skipped"


def test_a_lane_runs_beside_the_one_it_names_and_alone_where_that_is_not_chosen() -> None:
    first, second, third = Lane("a", "true"), Lane("b", "true"), Lane("c", "true", beside="a")
    assert list(groups([first, second, third])) == [[first, third], [second]]
    assert list(groups([second, third])) == [[second], [third]]


def test_a_name_that_is_none_is_told_with_those_that_are() -> None:
    with pytest.raises(LanesError, match="no lane is called tset; there are: a"):
        chosen([Lane("a", "true")], ["tset"])


def test_a_lane_that_wants_to_be_named_runs_only_then() -> None:
    some = [Lane("a", "true"), Lane("b", "true", named_alone="it is long")]
    assert chosen(some, []) == [some[0]]
    assert chosen(some, ["b"]) == [some[1]]


def test_a_lane_beside_nothing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "lanes.toml"
    file.write_text('[a]\nrun = "true"\nbeside = "z"\n')
    with pytest.raises(LanesError, match="a is beside z, which is no lane"):
        lanes.lanes(file)


def test_an_interrupt_leaves_nothing_running(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from tools.lanes import Lane, run\n"
        f"run([Lane('long', 'echo $$ > pid; sleep 600')], Path({str(tmp_path)!r}), Path({str(tmp_path)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"=== long"), "it waits for the lane from here on"
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_lane_that_may_be_tried_again_says_so_when_it_was_and_is_red_when_it_stays_red(tmp_path: Path) -> None:
    once = Lane("once", "test -e done || { touch done; false; }", tries=2)
    never = Lane("never", "false", tries=2)
    results = outcome(tmp_path, once, never)
    assert [result.red for result in results] == [False, True]
    assert results[0].outcome == "passed at try 2: the one before was red, in its log"
    assert results[1].outcome == "red: exit 1, 2 times"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "once.log",
        "once.try-2.log",
        "never.log",
        "never.try-2.log",
    }
