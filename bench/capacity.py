"""`python -m bench.capacity` (`make capacity`): what a request costs in processor time, part by part, and what follows.

10,000 requests a second do not fit a small machine, but what one request costs can be measured on it: processor time,
user and system, of each process on its way, which says the same on a machine that is busy with other things. A core's
requests a second are one over that. The full path is nginx (the cluster's own configuration) over TLS, the app, Redis
and Postgres; its yardstick is a bare echo behind the same nginx.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from app.deployment import LimitConfig, ServerConfig
from app.sessions.cookie import NAME as SESSION_COOKIE
from components.manifests.nginx import Gateway, Upstream, render
from lab import alone
from lab.__main__ import topology_of
from lab.assembly import Program, listens
from lab.load.mix import Mix
from lab.load.report import machine
from lab.servers import certificates, nginx
from lab.servers.process import Process, ProcessError, User, free_port, work_directory
from topology import capacity
from topology.topology import Topology

CONNECTIONS = 16
SECONDS = 4.0
TURNS = 3
"""Turns of each route, one after the other, so that whatever else the machine does falls on all; medians are told."""
HOST = "127.0.0.1"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Ask:
    """A request that is measured: method, path, and a body for each number where it has one."""

    method: str
    path: str
    body: Callable[[int], str] | None = None


ROUTES: Mapping[str, Ask] = {
    "echo": Ask("GET", "/"),
    "session": Ask("GET", "/v1/session"),
    "read": Ask("GET", "/v1/me/items/item-0"),
    "me": Ask("GET", "/v1/me"),
    "list": Ask("GET", "/v1/me/items?limit=20"),
    "write": Ask("PUT", "/v1/me/items/item-0", lambda n: json.dumps({"n": n, "pad": "x" * Mix().item_bytes})),
}


@dataclass(frozen=True)
class Cost:
    """Processor seconds of one request, by part: nginx, app (or echo), postgres, redis."""

    parts: Mapping[str, float]

    @property
    def whole(self) -> float:
        """All parts together."""
        return sum(self.parts.values())


class Meter:
    """Processor time of groups of processes, children included."""

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._groups = groups

    def read(self) -> dict[str, float]:
        """Seconds so far, by group."""
        return {name: sum(map(self._of, pids)) for name, pids in self._groups.items()}

    def _of(self, pid: int) -> float:
        first = psutil.Process(pid)
        total = 0.0
        for process in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return float(total)


@dataclass(frozen=True)
class Bench:
    """What runs: the two gateways' ports, the users' cookies, and the meter of each side."""

    app_port: int
    echo_port: int
    cookies: Sequence[str]
    app_meter: Meter
    echo_meter: Meter


@contextlib.contextmanager
def bench(topology: Topology) -> Iterator[Bench]:
    """One region's servers and the app, and an echo, each behind an nginx of the cluster's configuration."""
    unlimited = LimitConfig(user_rate=1e6, user_burst=1_000_000, global_rate=1e6, global_burst=1_000_000)
    with contextlib.ExitStack() as stack:
        region = stack.enter_context(alone.servers(server=ServerConfig(drain_delay_seconds=0), limits=unlimited))
        app = alone.app_process(region)
        ready = f"http://{HOST}:{region.document.server.port}/readyz"
        app.start(lambda: alone.answers(ready))
        stack.callback(app.stop)
        echo_port = free_port()
        folder = stack.enter_context(work_directory("hal9-capacity", User.current()))
        folder.chmod(0o755)
        echo = Process(
            [sys.executable, "-m", "bench.app.echo", str(echo_port)],
            folder / "echo.log",
            User.current(),
            {"PYTHONPATH": str(ROOT)},
        )
        echo.start(lambda: listens(HOST, echo_port))
        stack.callback(echo.stop)
        gates = [_gateway(stack, folder, topology, port) for port in (region.document.server.port, echo_port)]
        cookies = []
        for _ in range(CONNECTIONS):
            cookie = alone.sign_in(region, alone.register(region))
            alone.ask(region, "PUT", "/v1/me/items/item-0", {"n": 0, "pad": "x" * Mix().item_bytes}, cookie=cookie)
            cookies.append(cookie)
        redis = [region.sessions.process.pid, *(server.process.pid for server in region.cache.servers)]
        postgres = [region.primary.process.pid, region.replica.process.pid]
        groups = {"nginx": [gates[0][1]], "app": [app.pid], "postgres": postgres, "redis": redis}
        yield Bench(
            gates[0][0], gates[1][0], cookies, Meter(groups), Meter({"nginx": [gates[1][1]], "echo": [echo.pid]})
        )


def _gateway(stack: contextlib.ExitStack, root: Path, topology: Topology, upstream: int) -> tuple[int, int]:
    """An nginx before a server; its TLS port and its process id."""
    user = User.unprivileged()
    folder = root / f"nginx-{upstream}"
    folder.mkdir()
    issued = certificates.issue(folder, [topology.domain], [HOST])
    ports = [free_port() for _ in range(3)]
    gateway = Gateway(
        region=alone.REGION,
        server_name=topology.domain,
        local=(Upstream(HOST, upstream),),
        default_region=alone.REGION,
        certificate=str(issued.certificate),
        key=str(issued.key),
        authority=str(issued.authority),
        address_rate=1_000_000,
        address_burst=1_000_000,
        user_rate=1_000_000,
        user_burst=1_000_000,
        max_body_bytes=ServerConfig().max_body_bytes,
        session_cookie=SESSION_COOKIE,
        listen=f"{HOST}:{ports[0]}",
        listen_peers=f"{HOST}:{ports[1]}",
        listen_health=f"{HOST}:{ports[2]}",
        directory=str(folder),
        access_log=str(folder / "access.log"),
        workers="1",
    )
    process = nginx.process(render(gateway), folder, user)
    if user.switches:
        for path in (folder, *folder.iterdir()):
            os.chown(path, user.uid, user.gid)
    Program(process, lambda: listens(HOST, ports[0])).start()
    stack.callback(process.stop)
    return ports[0], process.pid


async def _turn(found: Bench, route: str, seconds: float) -> Cost:
    """One turn of one route: as many requests as come back, and what each cost."""
    ask = ROUTES[route]
    echo = route == "echo"
    meter, port = (found.echo_meter, found.echo_port) if echo else (found.app_meter, found.app_port)
    loop, answered, number = asyncio.get_running_loop(), 0, 0

    async def user(http: aiohttp.ClientSession, cookie: str, until: float) -> None:
        nonlocal answered, number
        while loop.time() < until:
            number += 1
            headers = {"Host": "hal9.ai", "Cookie": cookie}
            if ask.body:
                headers |= {"Content-Type": "application/json", "Idempotency-Key": f"{route}-{until}-{number}"}
            async with http.request(
                ask.method,
                f"https://{HOST}:{port}{ask.path}",
                headers=headers,
                ssl=False,
                data=ask.body(number) if ask.body else None,
            ) as answer:
                await answer.read()
                if answer.status >= 300:
                    raise ProcessError(f"{ask.method} {ask.path} was answered {answer.status}")
            answered += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await asyncio.gather(*(user(http, cookie, loop.time() + 0.5) for cookie in found.cookies))
        before, answered = meter.read(), 0
        await asyncio.gather(*(user(http, cookie, loop.time() + seconds) for cookie in found.cookies))
        after = meter.read()
    return Cost({name: (after[name] - before[name]) / answered for name in before})


async def measure(found: Bench, seconds: float = SECONDS, turns: int = TURNS) -> dict[str, Cost]:
    """The median cost of each route."""
    taken: dict[str, list[Cost]] = {route: [] for route in ROUTES}
    for _ in range(turns):
        for route in ROUTES:
            taken[route].append(await _turn(found, route, seconds))
    return {route: sorted(costs, key=lambda cost: cost.whole)[len(costs) // 2] for route, costs in taken.items()}


def mixed(costs: Mapping[str, Cost], mix: Mix) -> Cost:
    """The cost of a request of the mix, part by part."""
    shares = {route: share / 100 for route, share in mix.routes().items()}
    names = costs["session"].parts
    return Cost({name: sum(costs[route].parts[name] * share for route, share in shares.items()) for name in names})


def sheet(costs: Mapping[str, Cost], topology: Topology) -> str:
    """What was measured, and the capacity that follows from it for a topology, as Markdown."""
    mix = Mix()
    whole = mixed(costs, mix)
    lines = [
        f"Measured on {machine()}; {mix.described()}.",
        "",
        (
            "| route | processor us a request: nginx | app | postgres | redis | all | requests a second a "
            "core: app | full path |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, cost in [*costs.items(), ("the mix", whole)]:
        parts = cost.parts
        app = parts.get("app", parts.get("echo", 0.0))
        cells = [parts["nginx"], app, parts.get("postgres", 0.0), parts.get("redis", 0.0), cost.whole]
        lines.append(
            f"| {name} | "
            + " | ".join(f"{value * 1e6:.0f}" for value in cells)
            + f" | {1 / app:.0f} | {1 / cost.whole:.0f} |"
        )
    own = {route: cost.parts["app"] * 1e6 for route, cost in costs.items() if route != "echo"}
    lines += [
        "",
        (
            "By part, the app's own time: a request that only opens and tells its session "
            f"{own['session']:.0f} us, one that "
            f"opens it and reads L1 {own['read']:.0f} us; a database read (list) "
            f"{own['list'] - own['read']:.0f} us more than "
            f"an L1 read, a database write {own['write'] - own['read']:.0f} us more. "
            f"The full path of the mix costs {whole.whole / costs['echo'].whole:.1f} times a bare echo "
            "behind the same nginx."
        ),
        "",
        *capacity.capacity_sheet(topology, 1 / whole.parts["app"], 1 / whole.parts["nginx"]),
    ]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print the sheet, and say where the stack file does not agree with it; 1 where it does not."""
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__.splitlines()[0])
    parser.add_argument("--stack", default="prod")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each turn of each route")
    parser.add_argument("--turns", type=int, default=TURNS)
    given = parser.parse_args(arguments)
    topology = topology_of(given.stack)
    try:
        with bench(topology) as found:
            costs = asyncio.run(measure(found, given.seconds, given.turns))
    except (ProcessError, aiohttp.ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    print(sheet(costs, topology))
    warnings = capacity.capacity_warnings(topology)
    for warning in warnings:
        print(f"warning: {warning}")
    return 1 if warnings else 0


if __name__ == "__main__":
    console.run(main)
