"""`python -m bench.app [--json] [NAME ...]`: run the measurements whose name contains one of NAME, or all."""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import asyncio
import importlib
import pkgutil
import statistics
import sys

import msgspec
import uvloop

import bench.app
from bench.app import Measured, Measurement

PROGRAMS = frozenset({"__main__", "echo"})
"""Modules that are programs of their own."""


def measurements() -> list[Measurement]:
    """Every measurement of the package, in the order of the modules' names."""
    found: list[Measurement] = []
    for module in sorted(info.name for info in pkgutil.iter_modules(bench.app.__path__)):
        if module not in PROGRAMS:
            found += getattr(importlib.import_module(f"bench.app.{module}"), "MEASUREMENTS", [])
    return found


def line(part: Measurement, measured: Measured) -> str:
    """One measurement in words."""
    ratios = measured.ratios
    goal = f"{'<=' if part.bound == 'at most' else '>='} {part.goal:g}"
    verdict = "pass" if part.passes(measured) else "MISS"
    return (
        f"{verdict}  {part.name:<28} {statistics.median(ratios):8.2f}  goal {goal:<8} "
        f"spread {min(ratios):.2f}-{max(ratios):.2f}   ours {measured.ours:.3g} {measured.unit}, "
        f"theirs {measured.theirs:.3g} {measured.unit}: {part.against}"
    )


async def _run(part: Measurement) -> Measured:
    return await part.measure()


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 even when a goal is missed, as a measurement is no test."""
    parser = argparse.ArgumentParser(prog="python -m bench.app", description="The app's parts next to their peers.")
    parser.add_argument("--json", action="store_true", help="machine-readable, one object a line")
    parser.add_argument("names", nargs="*", help="run only what has one of these in its name")
    options = parser.parse_args(arguments)
    chosen = [part for part in measurements() if not options.names or any(name in part.name for name in options.names)]
    if not chosen:
        print(
            "bench.app: no such measurement; there are: " + ", ".join(part.name for part in measurements()),
            file=sys.stderr,
        )
        return 1
    for part in chosen:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            measured: Measured = runner.run(_run(part))
        if options.json:
            result = {
                "name": part.name,
                "against": part.against,
                "bound": part.bound,
                "goal": part.goal,
                "median": statistics.median(measured.ratios),
                "pass": part.passes(measured),
                "measured": msgspec.to_builtins(measured),
            }
            print(msgspec.json.encode(result).decode(), flush=True)
        else:
            print(line(part, measured), flush=True)
    return 0


if __name__ == "__main__":
    console.run(main)
