"""`make bench`: what telling a change takes, and how it grows with the regions: seconds, and ratios for each resource.

A change of every database, of the epoch and of a quota is told from two plans in one process, several times. Linear is
a ratio of 1. Times are of the processor; the whole command is timed by the clock, as its two plans run side by side.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.plan import REGION_COUNTS, grown
from diff.bases import topology_of
from diff.report import markdown, text, to_json
from diff.verdict import verdict
from plan import Plan, files, run
from plan.program import REPOSITORY
from plan.project import stack_file
from plan.reader import read_yaml
from topology.topology import Topology

GOAL_SECONDS = 10.0
"""What `make diff` of two prods may take."""
ROUNDS = 5


def changed(data: Mapping[str, Any]) -> dict[str, Any]:
    """A stack file with larger databases, a higher epoch and a smaller quota."""
    config = data["config"]
    database = {**config["hal9:database"], "instanceClass": "db.r6g.4xlarge", "mapEpoch": 2}
    return {**data, "config": {**config, "hal9:database": database, "hal9:limits": {"userRate": 5}}}


def measure(data: Mapping[str, Any], directory: Path, rounds: int) -> tuple[int, list[float]]:
    """The resources of a stack file's plan, and the seconds that telling its change took each time."""
    sides: list[tuple[Topology, Plan]] = []
    for name, content in (("before", data), ("after", changed(data))):
        path = directory / f"{name}.json"  # JSON is YAML
        files.write(path, json.dumps(content))
        sides.append((topology_of("prod", path), run("prod", stack_file=path)))
    seconds = []
    for _ in range(rounds):
        gc.collect()
        started = time.process_time()
        told = verdict("before", sides[0], sides[1], (), datetime.now(UTC))
        for write in (text, markdown, to_json):
            write(told)
        seconds.append(time.process_time() - started)
    return len(sides[1][1].resources), seconds


def whole(rounds: int) -> list[float]:
    """The seconds of `python -m diff` of prod from its own revision, by the clock."""
    command = [sys.executable, "-m", "diff", "--stack", "prod", "--base", "HEAD", "--quiet"]
    seconds = []
    for _ in range(rounds):
        started = time.monotonic()
        subprocess.run(command, cwd=REPOSITORY, check=True)
        seconds.append(time.monotonic() - started)
    return seconds


def table(taken: Mapping[int, tuple[int, Sequence[float]]], command: Sequence[float]) -> list[str]:
    """A line for each number of regions: resources, milliseconds, and the time of one resource beside the first's."""
    resources, base = next(iter(taken.values()))
    lines = [
        (
            f"`make diff` of two prods: {statistics.median(command):.1f} s ({min(command):.1f} to {max(command):.1f}), "
            f"goal {GOAL_SECONDS:.0f} s"
        ),
        "Telling the change of two plans: time for each resource, against the first (linear is 1)",
    ]
    for count, (number, seconds) in taken.items():
        middle = statistics.median(seconds)
        ratio = middle / number / (statistics.median(base) / resources)
        lines.append(f"  {count:>2} regions, {number:>5} resources  {ratio:5.2f}  {middle * 1000:6.0f} ms")
    return lines


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.diff", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is measured")
    rounds = parser.parse_args().rounds
    data = read_yaml(stack_file(REPOSITORY, "prod"))
    with tempfile.TemporaryDirectory() as name:
        taken = {count: measure(grown(data, count), Path(name), rounds) for count in REGION_COUNTS}
    print("\n".join(table(taken, whole(rounds))))
    return 0


if __name__ == "__main__":
    console.run(main)
