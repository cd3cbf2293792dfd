"""`.ci/run [LANE...]`: every lane of `.ci/lanes.toml`, or those named, and a table of what came of each.

A red lane does not hide the next. Each lane's output is printed when it ends and kept in `out/ci/LANE.log`. Exit status
0 where no lane was red, 1 where one was, 2 where a name is none.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / ".ci" / "lanes.toml"
ABSENT = 77
"""A lane's exit status where what it needs is not installed, as automake's test drivers have it."""
_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")
_CLOSING = re.compile(r"\b\d+ (?:passed|failed|errors?)\b.* in \d|^\d+ passed, \d+ failed")


class LanesError(Exception):
    """The table or what was asked for is wrong; the message says how."""


@dataclass(frozen=True)
class Lane:
    """One row of the table; the fields are described there."""

    name: str
    run: str
    beside: str = ""
    may_skip: str = ""
    tries: int = 1
    named_alone: str = ""


@dataclass(frozen=True)
class Result:
    """What came of one lane: `counts` are of its test runner's
    closing lines, summed, by `passed`, `failed`, `skipped`.
    """

    lane: Lane
    seconds: float
    status: int
    counts: Mapping[str, int]
    last: str
    in_ci: bool
    tried: int = 1

    @property
    def skipped(self) -> bool:
        """Whether what it needs is absent, and may be."""
        return self.status == ABSENT and (not self.in_ci or bool(self.lane.may_skip))

    @property
    def red(self) -> bool:
        """Whether it fails the whole run."""
        return self.status != 0 and not self.skipped

    @property
    def outcome(self) -> str:
        """A word, with the reason where it is not plain."""
        if self.skipped:
            return f"skipped: {self.last}"
        if self.status == ABSENT:
            return f"red: {self.last}"
        if self.status == 0:
            return "passed" if self.tried == 1 else f"passed at try {self.tried}: the one before was red, in its log"
        return f"red: exit {self.status}" + (f", {self.tried} times" if self.tried > 1 else "")


def lanes(table: Path = TABLE) -> list[Lane]:
    """Every lane, in order. LanesError where one runs beside a lane that is not there."""
    found = [Lane(name, **row) for name, row in tomllib.loads(table.read_text("utf-8")).items()]
    names = {lane.name for lane in found}
    for lane in found:
        if lane.beside and lane.beside not in names:
            raise LanesError(f"{table.name}: {lane.name} is beside {lane.beside}, which is no lane")
    return found


def chosen(all_lanes: Sequence[Lane], names: Sequence[str]) -> list[Lane]:
    """The lanes of those names, in the table's order; where none is
    named, all but those to be named. LanesError for a name that is none.
    """
    known = [lane.name for lane in all_lanes]
    for name in names:
        if name not in known:
            raise LanesError(f"no lane is called {name}; there are: {', '.join(known)}")
    return [lane for lane in all_lanes if lane.name in names or not (names or lane.named_alone)]


def groups(some: Sequence[Lane]) -> Iterator[list[Lane]]:
    """Lanes that run side by side, together; the first of each group names it."""
    names = {lane.name for lane in some}
    for lane in some:
        if lane.beside not in names:
            yield [lane, *(other for other in some if other.beside == lane.name)]


class Running:
    """A lane that is started, in a process group of its own so that it leaves nothing behind."""

    def __init__(self, lane: Lane, directory: Path, root: Path, tried: int = 1) -> None:
        self.lane = lane
        self.tried = tried
        self.log = directory / (f"{lane.name}.log" if tried == 1 else f"{lane.name}.try-{tried}.log")
        self._root = root
        self._began = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; from then on `end` ends it, whenever an interrupt comes."""
        print(f"=== {self.lane.name}: {self.lane.run}", flush=True)
        self._began = time.monotonic()
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S602 - the table's own commands
                self.lane.run,
                shell=True,
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def result(self, in_ci: bool) -> Result:
        """Wait for its end, print what it said, and count."""
        assert self._process is not None, "it was started"
        status = self._process.wait()
        seconds = time.monotonic() - self._began
        text = self.log.read_text(errors="replace")
        print(
            f"\n=== {self.lane.name}\n{text.rstrip()}\n--- {self.lane.name}: {seconds:.0f} s, exit {status}", flush=True
        )
        lines = [line for line in text.splitlines() if line.strip()]
        return Result(self.lane, seconds, status, counted(lines), lines[-1].strip() if lines else "", in_ci, self.tried)

    def end(self) -> None:
        """Kill it with all that it started."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)


def counted(lines: Sequence[str]) -> dict[str, int]:
    """What the closing lines of test runners say, summed over a lane: passed, failed (errors are), skipped."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for line in lines:
        if _CLOSING.search(line):
            for number, what in _COUNT.findall(line):
                counts["failed" if what.startswith("error") else what] += int(number)
    return counts


def table(results: Sequence[Result]) -> str:
    """The closing table, and a last line that counts the lanes."""
    width = max(len(result.lane.name) for result in results)
    rows = [f"{'lane':{width}}  seconds  passed  failed  skipped  outcome"]
    for result in results:
        numbers = "  ".join(f"{result.counts[what]:>{len(what)}}" for what in ("passed", "failed", "skipped"))
        rows.append(f"{result.lane.name:{width}}  {result.seconds:7.0f}  {numbers}  {result.outcome}")
    red, skipped = sum(r.red for r in results), sum(r.skipped for r in results)
    rows += ["", f"lanes: {len(results) - red - skipped} passed, {red} failed, {skipped} skipped"]
    return "\n".join(rows)


def run(some: Sequence[Lane], directory: Path, root: Path = ROOT, in_ci: bool = False) -> list[Result]:
    """Run lanes, group after group; one that is interrupted leaves nothing running."""
    directory.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    for group in groups(some):
        running = [Running(lane, directory, root) for lane in group]
        try:
            for one in running:
                one.start()
            for place, one in enumerate(running):
                result = one.result(in_ci)
                while result.red and result.status != ABSENT and result.tried < one.lane.tries:
                    running[place] = again = Running(one.lane, directory, root, result.tried + 1)
                    again.start()
                    result = again.result(in_ci)
                results.append(result)
        finally:
            for one in running:
                one.end()
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog=".ci/run", description="Runs the lanes of .ci/lanes.toml.")
    parser.add_argument("lane", nargs="*", help="all, where none is named")
    parser.add_argument("--list", action="store_true", help="the lanes' names and commands, without running them")
    options = parser.parse_args(arguments)
    try:
        some = chosen(lanes(), options.lane)
    except LanesError as error:
        print(f".ci/run: {error}", file=sys.stderr)
        return 2
    if options.list:
        print("\n".join(f"{lane.name:16} {lane.run}" for lane in some))
        return 0
    try:
        results = run(some, ROOT / "out" / "ci", in_ci=bool(os.environ.get("CI")))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    print("\n" + table(results))
    return 1 if any(result.red for result in results) else 0


if __name__ == "__main__":
    console.run(main)
