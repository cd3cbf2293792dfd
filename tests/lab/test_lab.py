"""The whole lab of prod's stack file at a small scale (`make test-lab`): load, every fault, the report, and its end.

The lab has fixed addresses, so one runs on a machine at a time: these tests run in one process, in order.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app import console
from lab import station
from lab.faults import FAULTS
from tests.lab import browser

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("lab"), pytest.mark.timeout(150)]
ROOT = Path(__file__).parents[2]
SMALL = ["--users", "45", "--seconds", "7", "--warm-up", "1", "--think-seconds", "1"]
SERVERS = 31


def lab(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One of the lab's commands, run to its end."""
    command = [sys.executable, "-m", "lab", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=140)


@dataclass
class Foreground:
    """`make lab`'s process and what it said until it was up."""

    process: subprocess.Popen[str]
    said: str


@pytest.fixture(scope="module")
def running() -> Iterator[Foreground]:
    if (other := station.running()) is not None:
        pytest.fail(f"a lab runs already (process {other.pid}); `make lab-down` ends it")
    command = [sys.executable, "-u", "-m", "lab", "up", "--stack", "prod"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("Open "):
            break
    else:
        pytest.fail(f"the lab did not start: {said}")
    yield Foreground(process, said)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.fixture(scope="module")
def loaded(running: Foreground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small load's report."""
    out = tmp_path_factory.mktemp("load")
    done = lab("load", *SMALL, "--out", out)
    assert (out / "report.json").exists(), done.stderr
    return out


def figures(out: Path) -> Any:
    return json.loads((out / "report.json").read_text())


def test_it_says_a_line_for_each_server_and_one_url_to_open(running: Foreground) -> None:
    assert len(re.findall(r"^ *\d+\.\d s  ", running.said, re.MULTILINE)) == SERVERS + 1  # and the schema
    assert running.said.count("Open https://") == 1


@pytest.mark.usefixtures("running")
def test_status_has_a_line_for_each_server_and_all_are_up() -> None:
    done = lab("status")
    lines = done.stdout.splitlines()
    assert (done.returncode, len(lines)) == (0, SERVERS)
    assert all(line.endswith(" up") for line in lines)


def test_a_second_start_reports_the_first(running: Foreground) -> None:
    done = lab("up")
    assert done.returncode == 1
    assert f"a lab runs already: stack prod, process {running.process.pid}" in done.stderr


def test_a_small_load_fails_nothing_loses_nothing_and_stays_at_home(loaded: Path) -> None:
    found = figures(loaded)
    assert found["requests"] > 240
    assert (found["errors"], found["lostWrites"], found["staleReads"]) == ({}, 0, 0)
    assert found["finalReads"] == 450
    assert 0 < found["crossRegionShare"] < 6
    assert found["cacheHitRate"] > 20


def test_each_region_answers_its_users_and_another_region_s_are_slower_by_the_distance(loaded: Path) -> None:
    rows = {row["group"]: row for row in figures(loaded)["rows"]}
    assert all(rows[region]["requests"] > 50 for region in ("us-west", "eu-central", "ap-south"))
    assert rows["through another region"]["p50"] > 0.1 > rows["all"]["p50"]


def test_fewer_users_than_the_target_is_a_fail_and_an_exit_status(loaded: Path) -> None:
    assert "FAIL  concurrent users" in (loaded / "report.txt").read_text()


@pytest.mark.skipif(browser.browser() is None, reason="Chromium is not installed")
def test_the_report_opens_in_a_browser_with_its_tables_and_plots(loaded: Path, tmp_path: Path) -> None:
    page = loaded / "report.html"
    tree = browser.document(page)
    assert 'id="checks"' in tree
    assert 'id="latency"' in tree
    assert tree.count("<tr>") >= 15
    assert tree.count("<svg") == 2
    assert all(len(points.split()) > 5 for points in re.findall(r'<polyline[^>]*points="([^"]*)"', tree))
    browser.screenshot(page, tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 20_000


@pytest.mark.parametrize("name", sorted(FAULTS))
@pytest.mark.usefixtures("running")
def test_a_fault_under_load_keeps_its_invariant(name: str, tmp_path: Path) -> None:
    done = lab("fault", name, *SMALL, "--out", tmp_path)
    assert (tmp_path / "report.json").exists(), done.stderr
    found = figures(tmp_path)
    assert [check["name"] for check in found["checks"] if not check["passed"]] == [], done.stdout
    assert done.returncode == 0
    assert found["fault"] == name
    assert any(note.startswith("must hold:") for note in found["notes"])
    assert lab("status").returncode == 0  # healed


def test_ctrl_c_leaves_nothing(running: Foreground) -> None:
    found = station.running()
    assert found is not None
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(60) == console.INTERRUPTED
    assert not Path(found.directory).exists()
    assert not station.record().exists()
    give_up = time.monotonic() + 5
    while (left := processes_of(found.directory)) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert left == []


def processes_of(directory: str) -> list[str]:
    """Command lines of processes that speak of the lab's directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if directory in line and entry.parent.name != str(os.getpid()):
            found.append(line)
    return found
