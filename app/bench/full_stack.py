"""The full stack (limits, breakers, session from Redis, cache) against a bare ASGI echo on the same server.

Both are processes of their own on this machine, asked the same GET with the same headers over the same kept-alive
connections, in short turns one after the other, so that whatever else the machine does falls on both. The stack
answers an item of a signed-in user; its session is read from Redis and decrypted in every request. Requests a second
are of a closed loop; the 99th percentile is of an open loop at one rate for both, half of what the stack answers.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import uvloop

from app.bench.load import Load, closed_loop, open_loop
from app.deployment import LimitConfig, ServerConfig
from lab import alone
from lab.process import free_port

TURNS = 9
SECONDS = 1.0
CONNECTIONS = 32
RATE_GOAL, TAIL_GOAL = 0.6, 1.5


class Turn(msgspec.Struct, frozen=True):
    """One turn of both: requests a second of each, then the 99th percentiles in seconds at one rate."""

    stack_rate: float
    echo_rate: float
    stack_tail: float
    echo_tail: float

    @property
    def rate_ratio(self) -> float:
        """The stack's requests a second over the echo's."""
        return self.stack_rate / self.echo_rate

    @property
    def tail_ratio(self) -> float:
        """The stack's 99th percentile over the echo's."""
        return self.stack_tail / self.echo_tail


def measure(turns: int = TURNS, seconds: float = SECONDS) -> list[Turn]:
    """Start both, run the turns, end both."""
    limits = LimitConfig(user_rate=1e6, user_burst=1_000_000, global_rate=1e6, global_burst=1_000_000)
    with alone.servers(server=ServerConfig(drain_delay_seconds=0), limits=limits) as region, _echo() as echo_port:
        process = alone.app_process(region)
        port = region.document.server.port
        process.start(lambda: alone.answers(f"http://127.0.0.1:{port}/readyz"))
        try:
            request = _item_request(region)
            for each in (port, echo_port):
                uvloop.run(closed_loop(each, request, CONNECTIONS, seconds))  # warm
            return [_turn(port, echo_port, request, seconds) for _ in range(turns)]
        finally:
            process.stop()


def _turn(port: int, echo_port: int, request: bytes, seconds: float) -> Turn:
    stack = uvloop.run(closed_loop(port, request, CONNECTIONS, seconds))
    echo = uvloop.run(closed_loop(echo_port, request, CONNECTIONS, seconds))
    rate = stack.rate / 2

    def at_rate(each: int) -> Load:
        return uvloop.run(open_loop(each, request, CONNECTIONS, rate, seconds))

    return Turn(stack.rate, echo.rate, at_rate(port).percentile(0.99), at_rate(echo_port).percentile(0.99))


def _item_request(region: alone.Alone) -> bytes:
    """Register a user, log in, write an item; the bytes of the request that reads it."""
    cookie = alone.sign_in(region, alone.register(region))
    status, _, body = alone.ask(region, "PUT", "/v1/me/items/settings", {"theme": "dark", "size": 12}, cookie=cookie)
    if status != 201:
        raise RuntimeError(f"the item was not written: {status} {body!r}")
    head = ["GET /v1/me/items/settings HTTP/1.1", "Host: hal9.ai", "User-Agent: bench", "Accept: */*"]
    head += ["X-Request-Id: 0123456789abcdef0123456789abcdef", "X-User-Region: us-west", f"Cookie: {cookie}"]
    return "\r\n".join([*head, "", ""]).encode()


@contextmanager
def _echo() -> Iterator[int]:
    port = free_port()
    root = Path(__file__).resolve().parents[2]
    child = subprocess.Popen([sys.executable, "-m", "app.bench.echo", str(port)], cwd=root, env=os.environ)
    try:
        give_up = time.monotonic() + 10
        while not alone.answers(f"http://127.0.0.1:{port}/"):
            if time.monotonic() > give_up:
                raise RuntimeError("the echo did not start")
            time.sleep(0.02)
        yield port
    finally:
        child.kill()
        child.wait()


def report(turns: list[Turn]) -> str:
    """Medians and spread."""

    def line(name: str, ratios: list[float], goal: str) -> str:
        return f"{name:44} {statistics.median(ratios):5.2f}  ({min(ratios):.2f}-{max(ratios):.2f})  goal {goal}"

    rates = f"{statistics.median(t.stack_rate for t in turns):,.0f} of {statistics.median(t.echo_rate for t in turns):,.0f} req/s"
    tails = f"{statistics.median(t.stack_tail for t in turns) * 1e3:.2f} and {statistics.median(t.echo_tail for t in turns) * 1e3:.2f} ms"
    return "\n".join(
        [
            line(
                "full stack / bare echo, requests a second", [t.rate_ratio for t in turns], f">= {RATE_GOAL}  {rates}"
            ),
            line("full stack / bare echo, p99 at one rate", [t.tail_ratio for t in turns], f"<= {TAIL_GOAL}  {tails}"),
        ]
    )


if __name__ == "__main__":
    print(report(measure()))
