"""`python -m lab load` and `python -m lab fault NAME`: drive
the running lab, judge what came of it, write the report.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from app import console
from lab import station
from lab.faults import FAULTS
from lab.load import judge, report
from lab.load.measure import Counts, Target, scrape
from lab.load.mix import Mix, check
from lab.load.run import Event, Load, Result, Run

HERE = Path(__file__).resolve().parents[1]
WIDTH = 120
"""Columns at most; a terminal may have fewer."""
LAG_SECONDS = 1.0
"""Between two measurements of the replicas' lag, until the fault happens."""
_BAR = 30


def add_to(commands: Any) -> None:
    """Add the two commands to the lab's."""
    load = commands.add_parser("load", help="drive the running lab and report p50, p95, p99 beside their targets")
    load.set_defaults(run=lambda options: _command(options, fault=""))
    fault = commands.add_parser("fault", help="inject a fault under load, heal it, and report what was lost")
    fault.formatter_class = argparse.RawDescriptionHelpFormatter
    fault.epilog = f"The faults:\n{listed(console.columns(WIDTH))}"
    fault.add_argument("name", nargs="?", metavar="NAME", help="the fault; without it they are listed, a line each")
    fault.set_defaults(run=_fault)
    for command, seconds in ((load, 60.0), (fault, 60.0)):
        command.add_argument("--users", type=int, default=None, help="concurrent users (the stack file's lab.users)")
        command.add_argument("--seconds", type=float, default=seconds)
        command.add_argument("--warm-up", type=float, default=10)
        command.add_argument("--think-seconds", type=float, default=Mix().think_seconds)
        command.add_argument("--seed", type=int, default=1)
        command.add_argument("--out", type=Path, default=HERE / "out" / "lab")


def listed(columns: int) -> str:
    """Every fault with what it does: a line each where there is room, and in a narrow place below its name."""
    width = max(map(len, FAULTS)) + 4
    lines: list[str] = []
    for name in sorted(FAULTS):
        begin = f"  {name}".ljust(width)
        if columns < 2 * width:
            lines.append(begin.rstrip())
            begin = "    "
        lines += textwrap.wrap(FAULTS[name].happens, columns, initial_indent=begin, subsequent_indent=" " * len(begin))
    return "\n".join(lines)


def _fault(options: argparse.Namespace) -> int:
    """One fault; all of them listed where none is named, status 2 where it is no fault's name."""
    columns = console.columns(WIDTH)
    if options.name is None:
        print(textwrap.fill("make fault NAME=... injects one of these under load, and heals it:", columns))
        print(listed(columns))
        return 0
    if options.name not in FAULTS:
        print(f"no fault is called {options.name}; there are:\n{listed(columns)}", file=sys.stderr)
        return 2
    return _command(options, fault=options.name)


def _command(options: argparse.Namespace, fault: str) -> int:
    """Exit status 0 where every target was met, 1 where one was missed."""
    lab = station.running()
    if lab is None:
        raise station.StationError("no lab runs; `make lab` starts one")
    about = station.ask(lab, do="about")
    mix = Mix(think_seconds=options.think_seconds)
    check(mix)
    load = Load(
        tuple(about["regions"]), options.users or about["users"], options.seconds, options.warm_up, mix, options.seed
    )
    try:
        made = asyncio.run(drive(lab, about, load, fault))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise station.StationError(
            f"the load could not be driven: {error or type(error).__name__}; `make lab-status` tells more"
        ) from None
    print(report.text(made))
    for path in report.write(made, options.out):
        print(f"wrote {path.relative_to(HERE) if path.is_relative_to(HERE) else path}")
    return 0 if made.passed else 1


async def drive(lab: station.Running, about: Any, load: Load, fault: str) -> report.Report:
    """Run a load against a lab; with a fault, inject it a third into the run and heal it at two thirds."""
    targets = [Target(region, url) for region, url in about["metrics"]]
    counts: list[dict[str, Counts]] = []
    notes: list[str] = [f"must hold: {FAULTS[fault].invariant}"] if fault else []

    async def count() -> None:
        counts.append(await scrape(targets))

    moments: dict[str, float] = {}

    def order(do: str) -> None:
        """Give an order, and keep when it was given, when it was first seen at work, and when it was done."""
        moments[do] = time.monotonic()
        for line in station.order(lab, do=do, fault=fault):
            moments.setdefault(f"{do} seen", time.monotonic())
            notes.append(line)
        moments[f"{do} done"] = time.monotonic()

    lags = [0.0]

    async def watch_lag() -> None:
        while True:
            lags.append(await asyncio.to_thread(station.ask, lab, do="lag"))
            await asyncio.sleep(LAG_SECONDS)

    async def break_it() -> None:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        lags.append(await asyncio.to_thread(station.ask, lab, do="lag"))
        notes.append(f"replicas were at most {max(lags) * 1000:.0f} ms behind before it happened")
        await asyncio.to_thread(station.ask, lab, do="census")  # from here on
        await asyncio.to_thread(order, "inject")
        broken.set()

    async def mend_it() -> None:
        await broken.wait()
        await asyncio.to_thread(order, "heal")

    broken = asyncio.Event()
    events: tuple[Event, ...] = ((load.seconds / 3, break_it), (load.seconds * 2 / 3, mend_it)) if fault else ()

    def tokens(users: list[str]) -> tuple[str, dict[str, str]]:
        issued = station.ask(lab, do="tokens", users=users)
        return issued["service"], issued["users"]

    run = Run(load, about["gateways"], about["host"], _progress())
    watching = asyncio.create_task(watch_lag() if fault else asyncio.sleep(0))
    try:
        result: Result = await run.go(tokens, events, count, count)
    finally:
        watching.cancel()
    if not fault:
        return report.make(result, counts[0], counts[1])
    evidence = judge.Evidence(
        result.history.samples,
        broke=moments["inject"],
        struck=moments["inject seen"],
        broken=moments["inject done"],
        mending=moments["heal"],
        mended=moments["heal done"],
        victim=about["victim"],
        fenced=station.ask(lab, do="fenced"),
        lag=max(lags),
        lost=result.lost,
        stale=result.history.stale,
        writable=station.ask(lab, do="census"),
    )
    notes += judge.told(evidence)
    happened = FAULTS[fault]
    return report.make(
        result, counts[0], counts[1], fault, notes, happened.judge(evidence), asynchronous=happened.asynchronous
    )


def _progress() -> Callable[[str, float, float], None]:
    """A bar on a terminal; elsewhere a line for each step that is done."""

    def show(what: str, done: float, of: float) -> None:
        if sys.stderr.isatty():
            filled = int(_BAR * done / of) if of else _BAR
            end = "\n" if done >= of else ""
            print(
                f"\r\x1b[K{what:16} [{'#' * filled}{' ' * (_BAR - filled)}] {done:.0f}/{of:.0f}",
                end=end,
                file=sys.stderr,
            )
        elif done >= of:
            print(f"{what}: done", file=sys.stderr, flush=True)

    return show
