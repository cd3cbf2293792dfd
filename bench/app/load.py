"""Load on an HTTP server over kept-alive connections, from this process: how many it answers, and how fast.

The client is as small as can be (one request's bytes, sent again and again; answers of one length), so that of two
processors one is the server's. Every answer must be a 200.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import Sequence
from typing import cast

import msgspec


class Load(msgspec.Struct, frozen=True):
    """What came back: answers a second, and each answer's seconds from the moment its request was due."""

    rate: float
    latencies: list[float]

    def percentile(self, share: float) -> float:
        """Seconds within which `share` of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class WrongAnswer(Exception):
    """An answer was not a 200."""


class _Client(asyncio.Protocol):
    """One connection with at most one request on its way."""

    def __init__(self, request: bytes, answered: asyncio.Future[None], free: deque[_Client] | None) -> None:
        self.request = request
        self.transport: asyncio.Transport | None = None
        self.latencies: list[float] = []
        self.due = 0.0
        self.until = 0.0
        self._failed = answered
        self._free = free
        self._length = 0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of a class of their own

    def send(self, due: float) -> None:
        """Send the request that was due at this moment."""
        assert self.transport is not None
        self.due = due
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self._received:
            data = self._received + data
        if len(data) < (self._length or self._measure(data)):
            self._received = data
            return
        self._received = b""
        now = time.perf_counter()
        if data[9:12] != b"200" or len(data) != self._length:
            self._fail(data)
            return
        self.latencies.append(now - self.due)
        if self._free is not None:
            self._free.append(self)
        elif now < self.until:
            self.send(now)

    def _measure(self, data: bytes) -> int:
        """The length of an answer, from the first one; more than there is while its head is not whole."""
        head, end, _ = data.partition(b"\r\n\r\n")
        if not end:
            return len(data) + 1
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        self._length = len(head) + len(end) + length
        return self._length

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(b"" if exc is None else repr(exc).encode())

    def _fail(self, data: bytes) -> None:
        if not self._failed.done():
            self._failed.set_exception(WrongAnswer(data[:200].decode(errors="replace") or "the connection was closed"))


async def closed_loop(port: int, requests: Sequence[bytes], seconds: float) -> Load:
    """As many requests as the server answers: a connection for each of `requests`, sent again when it is answered.

    Raises: WrongAnswer, OSError.
    """
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    clients = await _connect(port, requests, failed, None)
    begun = time.perf_counter()
    for client in clients:
        client.until = begun + seconds
        client.send(time.perf_counter())
    await _wait(failed, seconds + 0.05)
    return _close(clients, seconds, failed)


async def open_loop(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> Load:
    """`rate` requests a second whatever the server does; a latency counts from when the request was due.

    Raises: WrongAnswer, OSError.
    """
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    free: deque[_Client] = deque()
    clients = await _connect(port, requests, failed, free)
    free.extend(clients)
    begun = time.perf_counter()
    sent, total = 0, int(rate * seconds)
    while sent < total and not failed.done():
        now = time.perf_counter()
        while sent < total and free and begun + sent / rate <= now:
            free.popleft().send(begun + sent / rate)
            sent += 1
        await asyncio.sleep(0.0005)
    while len(free) < len(clients) and not failed.done():  # noqa: ASYNC110 - at a clock's pace, and its own doing
        await asyncio.sleep(0.001)
    return _close(clients, seconds, failed)


async def _connect(
    port: int, requests: Sequence[bytes], failed: asyncio.Future[None], free: deque[_Client] | None
) -> list[_Client]:
    loop = asyncio.get_running_loop()
    clients = [_Client(request, failed, free) for request in requests]
    for client in clients:
        await loop.create_connection(functools.partial(_same, client), "127.0.0.1", port)
    return clients


def _same(client: _Client) -> _Client:
    return client


async def _wait(failed: asyncio.Future[None], seconds: float) -> None:
    await asyncio.wait([failed], timeout=seconds)


def _close(clients: list[_Client], seconds: float, failed: asyncio.Future[None]) -> Load:
    if failed.done():
        failed.result()
    failed.cancel()
    for client in clients:
        assert client.transport is not None
        client.transport.abort()
    latencies = [latency for client in clients for latency in client.latencies]
    return Load(len(latencies) / seconds, latencies)
