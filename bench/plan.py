"""`make bench`: what the program's structure costs, and how the time grows with the regions. Ratios, from one run.

Every measurement is a process of its own. Those that are compared are taken in turns, so that what else the machine
does falls on all alike, and a ratio is taken in each turn; the median is given with the least and the greatest.
Times are of the processor (user and system), memory is the greatest resident set.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from bench.flat import write_flat_project
from plan import files, run
from plan.program import REPOSITORY
from plan.project import stack_file
from plan.reader import read_yaml

FLAT_GOAL = 1.3
REGION_COUNTS = (3, 6, 12)
MORE_REGIONS = {
    "us-east": "us-east-2",
    "eu-west": "eu-west-1",
    "us-virginia": "us-east-1",
    "eu-london": "eu-west-2",
    "ap-tokyo": "ap-northeast-1",
    "ap-singapore": "ap-southeast-1",
    "ap-sydney": "ap-southeast-2",
    "sa-east": "sa-east-1",
    "eu-paris": "eu-west-3",
}
"""Regions to grow by, each with zones a, b and c, and with every instance type of prod in each."""


@dataclass(frozen=True)
class Measured:
    """One process: seconds of the first plan (with the SDK's
    modules still to load) and of a second, peak MiB, count.
    """

    first: float
    again: float
    memory: float
    resources: int


def measure(project: Path, source: Path) -> Measured:
    """Plans twice in this process."""
    gc.disable()
    seconds = []
    memory = count = 0.0
    for _ in range(2):
        started = time.process_time()
        plan = run("prod", project=project, stack_file=source)
        seconds.append(time.process_time() - started)
        memory = memory or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        count = sum(one.custom for one in plan.resources)
        del plan
        gc.collect()
    return Measured(seconds[0], seconds[1], memory, int(count))


def grown(data: Mapping[str, Any], count: int) -> dict[str, Any]:
    """A stack file with regions added behind its own until there are `count`."""
    regions = dict(data["config"]["hal9:regions"])
    pattern = next(iter(regions.values()))
    for name, aws_region in list(MORE_REGIONS.items())[: count - len(regions)]:
        last = max(ip_network(region["cidr"]) for region in regions.values())
        block = ip_network((int(last.broadcast_address) + 1, last.prefixlen))
        zones = [aws_region + letter for letter in ("abc" if aws_region != "ap-northeast-1" else "acd")]
        regions[name] = {**pattern, "awsRegion": aws_region, "cidr": str(block), "zones": zones, "countries": []}
    return {**data, "config": {**data["config"], "hal9:regions": regions}}


def _in_its_own_process(project: Path, source: Path) -> Measured:
    command = [sys.executable, "-m", "bench.plan", "--measure", str(project), str(source)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{source.name} could not be measured:\n{done.stderr}")
    return Measured(**json.loads(done.stdout))


def _say(text: str) -> None:
    """Progress, where somebody is looking."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _ratio(over: Sequence[float], under: Sequence[float]) -> str:
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    return f"{statistics.median(ratios):5.2f}  ({min(ratios):.2f} to {max(ratios):.2f})"


def _per_resource(taken: Sequence[Measured]) -> list[float]:
    return [one.again / one.resources for one in taken]


def bench(rounds: int) -> str:
    """Measures `rounds` turns of each and gives the table."""
    data = read_yaml(stack_file(REPOSITORY, "prod"))
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        write_flat_project(run("prod"), directory / "flat")
        todo: dict[str, tuple[Path, Path]] = {"flat": (directory / "flat", directory / "flat" / "Pulumi.prod.yaml")}
        for count in REGION_COUNTS:
            files.write(directory / f"{count}.json", json.dumps(grown(data, count)))  # JSON is YAML
            todo[f"{count} regions"] = (REPOSITORY, directory / f"{count}.json")
        taken: dict[str, list[Measured]] = {name: [] for name in todo}
        for turn in range(rounds):
            for name, (project, source) in todo.items():
                _say(f"turn {turn + 1} of {rounds}: {name}")
                taken[name].append(_in_its_own_process(project, source))
        _say("")
    return "\n".join(table(taken))


def table(taken: Mapping[str, Sequence[Measured]]) -> list[str]:
    """What was measured, a line for each ratio with its goal."""
    base, flat = taken[f"{REGION_COUNTS[0]} regions"], taken["flat"]
    lines = [
        f"Planning prod ({base[0].resources} resources) against a flat program with the same ({flat[0].resources})",
        f"  time, first plan in a process   {_ratio([m.first for m in base], [m.first for m in flat])}",
        (
            f"  time, modules already loaded    {_ratio([m.again for m in base], [m.again for m in flat])}  "
            f"goal {FLAT_GOAL}"
        ),
        f"  peak memory                     {_ratio([m.memory for m in base], [m.memory for m in flat])}",
        "",
        f"Growth: time for each resource, against {REGION_COUNTS[0]} regions (linear is 1)",
    ]
    for count in REGION_COUNTS:
        some = taken[f"{count} regions"]
        ratio = _ratio(_per_resource(some), _per_resource(base))
        lines.append(f"  {count:>2} regions, {some[0].resources:>5} resources      {ratio}  {_absolute(some)}")
    return [*lines, f"  flat program                    {'':21}{_absolute(flat)}"]


def _absolute(some: Sequence[Measured]) -> str:
    first, again, memory = (statistics.median(getattr(m, name) for m in some) for name in ("first", "again", "memory"))
    return f"{first:5.1f} s, then {again:4.1f} s, {memory:4.0f} MiB"


def main() -> int:
    """Prints the table; `--measure` is one process's part."""
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="turns; each takes every measurement once")
    parser.add_argument("--measure", nargs=2, type=Path, metavar=("PROJECT", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(asdict(measure(*options.measure))))
    else:
        print(bench(options.rounds))
    return 0


if __name__ == "__main__":
    console.run(main)
