"""The lab's commands: `python -m lab up|status|down|load|fault`
(`make lab`, `lab-status`, `lab-down`, `load`, `fault`).
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from lab import command as load
from lab import faults, station
from lab.lab import Lab
from lab.servers import programs
from lab.servers.process import ProcessError, User, work_directory
from plan.errors import ProjectError
from plan.project import read_project
from topology.load import parse
from topology.stackfile import StackFileError, structure
from topology.topology import Topology

ROOT = Path(__file__).resolve().parent.parent
MEMORY_GIB = 3.0
"""Memory that a lab of prod needs free; measured as the sum of its processes' own pages, with room."""


class LabError(Exception):
    """The lab cannot run here; the message says why and what would help."""


def topology_of(stack: str) -> Topology:
    """The stack file's topology, as the Pulumi program reads it."""
    return parse(stack, structure(Topology, read_project(ROOT, stack).config))


def up(options: argparse.Namespace) -> int:
    """Start the lab, stay in the foreground, and end it with Ctrl-C."""
    topology = topology_of(options.stack)
    _check()
    claim = station.Claim()
    try:
        with work_directory("hal9-lab", User.current()) as directory:
            directory.chmod(0o755)
            return _run(Lab(topology, directory), claim, options.stack)
    finally:
        claim.release()


def _run(lab: Lab, claim: station.Claim, stack: str) -> int:
    ended, status = False, 0

    def end(number: int, _: Any) -> None:
        nonlocal ended, status
        if ended:
            return
        ended, status = True, console.INTERRUPTED if number == signal.SIGINT else 0
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    began = time.monotonic()
    try:
        lab.start(_progress(began))
        first = lab.layout.regions[0]
        running = station.Running(os.getpid(), stack, str(lab.directory), lab.url(first))
        station.serve(running.control, lambda what, say: carry_out(lab, what, say))
        claim.announce(running)
        print(
            f"up in {time.monotonic() - began:.1f} s: {len(lab.rack.parts)} servers in "
            f"{len(lab.layout.regions)} regions"
        )
        for region in lab.layout.regions:
            print(f"  {region:<12} {lab.url(region)}")
        print(f"Open {lab.url(first)}/openapi.json (its certificate is the lab's own). Ctrl-C ends it.", flush=True)
        while True:
            signal.pause()
    except KeyboardInterrupt:
        print("ending", flush=True)
    except ProcessError as error:
        print(f"the lab did not start: {error}", file=sys.stderr)
        status = 1
    finally:
        ended = True
        lab.stop()
    return status


def carry_out(lab: Lab, what: Any, say: station.Say) -> Any:
    """An order of another command, in the lab's own process."""
    match what["do"]:
        case "status":
            return [[part.name, part.region, part.state] for part in lab.rack.parts]
        case "about":
            return about(lab)
        case "lag":
            return faults.replica_lag(lab)
        case "census":
            return lab.supervisor.census.take()
        case "fenced":
            return lab.supervisor.fenced
        case "inject":
            return faults.inject(lab, what["fault"], say)
        case "heal":
            return faults.heal(lab, what["fault"], say)
        case "tokens":
            users, service = what.get("users", []), lab.provider.service_token()
            return {"service": service, "users": {user: lab.provider.token(user) for user in users}}
    raise station.StationError(f"the lab knows no order {what['do']!r}")


def about(lab: Lab) -> dict[str, Any]:
    """What a load needs to know: the gateways, the name they are asked for, and where the app's metrics are."""
    processes = range(lab.topology.lab.app_processes)
    return {
        "regions": lab.layout.regions,
        "users": lab.topology.lab.users,
        "victim": faults.victim(lab),
        "host": lab.topology.domain,
        "gateways": {region: lab.url(region) for region in lab.layout.regions},
        "metrics": [
            [region, f"http://127.0.0.1:{lab.layout.app_ports(region, number)[1]}/metrics"]
            for region in lab.layout.regions
            for number in processes
        ],
    }


def status(_: argparse.Namespace) -> int:
    """A line for each part; exit status 1 where none runs or a part is not up."""
    if (lab := station.running()) is None:
        print("no lab runs; `make lab` starts one", file=sys.stderr)
        return 1
    parts = station.ask(lab, do="status")
    for name, region, state in parts:
        print(f"{name:<40} {region:<12} {state}")
    return 0 if all(state == "up" for _, _, state in parts) else 1


def down(_: argparse.Namespace) -> int:
    """End the running lab and wait until it is gone."""
    if (lab := station.running()) is None:
        print("no lab runs")
        return 0
    os.kill(lab.pid, signal.SIGTERM)
    give_up = time.monotonic() + 60
    while station.running() is not None:
        if time.monotonic() > give_up:
            print(f"the lab (process {lab.pid}) has not ended within 60 s", file=sys.stderr)
            return 1
        time.sleep(0.1)
    print("ended")
    return 0


def _check() -> None:
    """LabError where the machine has too little memory, ProcessError where a server's program is missing."""
    for program in (programs.nginx, programs.redis_server, programs.postgres):
        program()
    free = _available_gib()
    if free is not None and free < MEMORY_GIB:
        raise LabError(f"{free:.1f} GiB of memory are available; the lab needs {MEMORY_GIB:g}")


def _available_gib() -> float | None:
    """Available memory, or None where the kernel does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    values = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    return values["MemAvailable"] / 1024**2 if "MemAvailable" in values else None


def _progress(began: float) -> Any:
    """A status line for each part: rewritten in place on a terminal, one each elsewhere."""

    def report(name: str, state: str) -> None:
        if sys.stdout.isatty():
            print(f"\r\x1b[K{time.monotonic() - began:5.1f} s  {name} {state}", end="", flush=True)
            if state == "up":
                print()
        elif state == "up":
            print(f"{time.monotonic() - began:5.1f} s  {name}", flush=True)

    return report


def main() -> int:
    """Exit status of a command."""
    parser = argparse.ArgumentParser(prog="python -m lab", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, run in (("up", up), ("status", status), ("down", down)):
        command = commands.add_parser(name, help=run.__doc__)
        command.set_defaults(run=run)
        if name == "up":
            command.add_argument("--stack", default="prod")
    load.add_to(commands)
    options = parser.parse_args()
    try:
        return int(options.run(options))
    except (LabError, ProcessError, StackFileError, ProjectError, station.StationError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    console.run(main)
