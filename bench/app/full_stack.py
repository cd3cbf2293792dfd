"""The full stack (limits, breakers, session from Redis, cache) against a bare ASGI echo on the same server.

Both are processes of their own on this machine, asked the same GETs with the same headers over the same kept-alive
connections, in short turns one after the other, so that whatever else the machine does falls on both. The stack
answers an item of a signed-in user, one user a connection; each session is read from Redis and decrypted in every
request. Requests a second are of a closed loop; the 99th percentile is of an open loop at one rate for both, half of
what the stack answers. Processor time is the server process's own, user and system, which says the same on a machine
that is busy with other things.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from app.deployment import LimitConfig, ServerConfig
from bench.app import Measured, Measurement
from bench.app.load import Load, closed_loop, open_loop
from lab import alone
from lab.servers.process import Process, User, free_port, work_directory

TURNS = 9
SECONDS = 1.0
USERS = 32


class Contender(NamedTuple):
    """A server under load: its port and its process id."""

    port: int
    process_id: int

    def processor_seconds(self) -> float:
        """User and system time so far (proc(5): fields 14 and 15, in clock ticks)."""
        fields = Path(f"/proc/{self.process_id}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Turn(msgspec.Struct, frozen=True):
    """One turn of one side: answers a second, processor seconds an answer, and seconds of the 99th percentile."""

    rate: float
    processor: float
    tail: float


_measured: list[tuple[Turn, Turn]] = []


async def _turns() -> list[tuple[Turn, Turn]]:
    """One run for all measurements of this module; in each pair the stack's turn, then the echo's."""
    if not _measured:
        _measured.extend(await _run())
    return _measured


async def _run() -> list[tuple[Turn, Turn]]:
    with contextlib.ExitStack() as servers:
        # Starting them runs loops of its own, so it has a thread of its own.
        region, stack = await asyncio.to_thread(servers.enter_context, _stack())
        echo = await asyncio.to_thread(servers.enter_context, _echo())
        try:
            requests = await asyncio.to_thread(_item_requests, region)
            turns = [await _turn(stack, echo, requests) for _ in range(TURNS + 1)]
            return turns[1:]
        finally:
            await asyncio.to_thread(servers.close)


async def _turn(stack: Contender, echo: Contender, requests: list[bytes]) -> tuple[Turn, Turn]:
    loads: list[tuple[Load, float]] = []
    for side in (stack, echo):
        before = side.processor_seconds()
        load = await closed_loop(side.port, requests, SECONDS)
        loads.append((load, (side.processor_seconds() - before) / len(load.latencies)))
    rate = loads[0][0].rate / 2
    tails = [(await open_loop(side.port, requests, rate, SECONDS)).percentile(0.99) for side in (stack, echo)]
    ours, theirs = (Turn(load.rate, spent, tail) for (load, spent), tail in zip(loads, tails, strict=True))
    return ours, theirs


@contextlib.contextmanager
def _stack() -> Iterator[tuple[alone.Alone, Contender]]:
    unlimited = LimitConfig(user_rate=1e6, user_burst=1_000_000, global_rate=1e6, global_burst=1_000_000)
    with alone.servers(server=ServerConfig(drain_delay_seconds=0), limits=unlimited) as region:
        port = region.document.server.port
        process = alone.app_process(region)
        with _running(process, f"http://127.0.0.1:{port}/readyz"):
            yield region, Contender(port, process.pid)


@contextlib.contextmanager
def _echo() -> Iterator[Contender]:
    port = free_port()
    with work_directory("hal9-echo") as directory:
        process = Process(
            [sys.executable, "-m", "bench.app.echo", str(port)],
            directory / "log",
            user=User.current(),
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        with _running(process, f"http://127.0.0.1:{port}/"):
            yield Contender(port, process.pid)


@contextlib.contextmanager
def _running(process: Process, url: str) -> Iterator[None]:
    process.start(lambda: alone.answers(url))
    try:
        yield
    finally:
        process.stop()


def _item_requests(region: alone.Alone) -> list[bytes]:
    """For each of `USERS` the bytes of the request that reads an item, which is written first."""
    requests = []
    for _ in range(USERS):
        cookie = alone.sign_in(region, alone.register(region))
        status, _, body = alone.ask(
            region, "PUT", "/v1/me/items/settings", {"theme": "dark", "size": 12}, cookie=cookie
        )
        if status != 201:
            raise RuntimeError(f"the item was not written: {status} {body!r}")
        head = ["GET /v1/me/items/settings HTTP/1.1", "Host: hal9.ai", "User-Agent: bench", "Accept: */*"]
        head += ["X-Request-Id: 0123456789abcdef0123456789abcdef", "X-User-Region: us-west", f"Cookie: {cookie}"]
        requests.append("\r\n".join([*head, "", ""]).encode())
    return requests


async def rate() -> Measured:
    """Answers a second: ours over theirs."""
    turns = await _turns()
    ours, theirs = ([turn[side].rate for turn in turns] for side in (0, 1))
    return Measured(_ratios(ours, theirs), statistics.median(ours), statistics.median(theirs), "req/s")


async def tail() -> Measured:
    """The 99th percentile at one rate: ours over theirs."""
    turns = await _turns()
    ours, theirs = ([turn[side].tail * 1e3 for turn in turns] for side in (0, 1))
    return Measured(_ratios(ours, theirs), statistics.median(ours), statistics.median(theirs), "ms")


async def processor() -> Measured:
    """Processor time an answer: ours over theirs."""
    turns = await _turns()
    ours, theirs = ([turn[side].processor * 1e6 for turn in turns] for side in (0, 1))
    return Measured(_ratios(ours, theirs), statistics.median(ours), statistics.median(theirs), "us")


def _ratios(ours: list[float], theirs: list[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]


ECHO = "a bare ASGI echo on the same server"
MEASUREMENTS = [
    Measurement("full stack requests", ECHO, "at least", 0.6, rate, "granian"),
    Measurement("full stack p99", ECHO, "at most", 1.5, tail, "granian"),
    Measurement("full stack processor time", ECHO, "at most", 1 / 0.6, processor, "granian"),
]
