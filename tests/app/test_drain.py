"""Leaving: the steps and their order, and that a process under keep-alive load leaves without a failed request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from starlette.types import Receive, Scope, Send

from app.deployment import ServerConfig
from app.drain import Drain
from app.http.application import Application
from app.http.errors import explain
from app.http.health import HealthRoutes
from app.http.request import Request
from app.http.response import Response, json
from app.http.routing import Access, Route, Router
from app.http.serve import Port
from app.http.shedding import Shedder
from app.metrics import Metrics
from app.redis.breakers import Breakers
from lab.servers.process import free_port

QUICK = ServerConfig(drain_delay_seconds=0.4, drain_timeout_seconds=2)


async def nothing() -> None:
    pass


class Process:
    """What one process serves, and how it leaves."""

    def __init__(self, config: ServerConfig = QUICK) -> None:
        self.metrics = Metrics()
        self.drain = Drain(config, self.metrics)
        self.answered = 0
        self.port = free_port()
        routes = [
            *HealthRoutes(self.drain, Breakers()).routes(),
            Route("GET", "/work", self.work, "work", "", Access.OPEN, {}),
            Route("GET", "/long", self.long, "long", "", Access.OPEN, {}),
        ]
        app = Application(
            router=Router(routes),
            admit=self.admit,
            explain=explain,
            live=self.live,
            shedder=Shedder(100, self.metrics),
            drain=self.drain,
            metrics=self.metrics,
            max_body_bytes=100,
            request_timeout=5,
        )
        self.server = Port(app, self.port, "127.0.0.1")

    async def admit(self, request: Request, route: Route) -> None:
        pass

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    async def work(self, _: Request) -> Response:
        await asyncio.sleep(0.002)
        self.answered += 1
        return json(200, "done")

    async def long(self, _: Request) -> Response:
        await asyncio.sleep(1)
        return json(200, "done")

    async def leave(self) -> None:
        self.drain.ask()
        await self.drain.leave(nothing, self.server.stop)
        await self.server.close(1)


@pytest_asyncio.fixture
async def two() -> AsyncIterator[list[Process]]:
    processes = [Process(), Process()]
    for process in processes:
        await process.server.open()
        process.drain.start()
    yield processes
    for process in processes:
        await process.server.close(1)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str = "/work") -> tuple[int, bool]:
    """The status, and whether the server will close the connection."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split()[1]), b"connection: close" in head.lower()


async def probe(port: int, path: str = "/readyz") -> int:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return 0
    try:
        return (await ask(reader, writer, path))[0]
    except (OSError, asyncio.IncompleteReadError):
        return 0
    finally:
        writer.close()


class Balancer:
    """Sends connections to processes that are ready, looking every 50 ms as a load balancer does."""

    def __init__(self, ports: list[int]) -> None:
        self._ports = ports
        self.ready = list(ports)

    async def watch(self) -> None:
        while True:
            statuses = [await probe(port) for port in self._ports]
            self.ready = [port for port, status in zip(self._ports, statuses, strict=True) if status == 200]
            await asyncio.sleep(0.05)


async def client(balancer: Balancer, number: int, failures: list[object], until: asyncio.Event) -> int:
    """Requests one after another on kept-alive connections; how many were answered."""
    answered = 0
    while not until.is_set():
        port = balancer.ready[number % len(balancer.ready)]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            closing = False
            while not closing and not until.is_set():
                status, closing = await ask(reader, writer)
                if status != 200:
                    failures.append(status)
                answered += 1
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            failures.append(error)
    return answered


async def test_no_request_fails_while_one_of_two_processes_leaves_under_load(two: list[Process]) -> None:
    leaving, staying = two
    balancer = Balancer([leaving.port, staying.port])
    watching = asyncio.create_task(balancer.watch())
    failures: list[object] = []
    until = asyncio.Event()
    clients = [asyncio.create_task(client(balancer, number, failures, until)) for number in range(20)]
    await asyncio.sleep(0.5)
    assert leaving.answered
    await leaving.leave()
    taken_over = staying.answered
    await asyncio.sleep(0.3)
    until.set()
    answered = sum(await asyncio.gather(*clients))
    watching.cancel()
    assert failures == []
    assert answered > 500
    assert staying.answered > taken_over
    assert await probe(leaving.port, "/healthz") == 0


async def test_a_request_in_flight_is_finished_after_connections_are_no_longer_taken(two: list[Process]) -> None:
    leaving, _ = two
    reader, writer = await asyncio.open_connection("127.0.0.1", leaving.port)
    long = asyncio.create_task(ask(reader, writer, "/long"))
    await asyncio.sleep(0.1)
    await leaving.leave()
    assert await long == (200, True)
    writer.close()


async def test_a_process_is_unready_and_alive_while_it_drains(two: list[Process]) -> None:
    leaving, _ = two
    assert await probe(leaving.port) == 200
    task = asyncio.create_task(leaving.leave())
    await asyncio.sleep(0.1)
    assert await probe(leaving.port) == 503
    assert await probe(leaving.port, "/healthz") == 200
    assert await probe(leaving.port, "/work") == 200
    await task


async def test_sockets_are_closed_after_the_delay_and_before_connections_are_no_longer_taken() -> None:
    steps: list[str] = []
    drain = Drain(QUICK, Metrics())
    drain.start()
    drain.ask()

    async def close_sockets() -> None:
        steps.append("sockets")

    task = asyncio.create_task(drain.leave(close_sockets, lambda: steps.append("stop")))
    await asyncio.sleep(0.2)
    assert steps == []
    await task
    assert steps == ["sockets", "stop"]


async def test_a_request_that_never_ends_does_not_keep_the_process() -> None:
    metrics = Metrics()
    metrics.requests.in_flight = 1
    drain = Drain(ServerConfig(drain_delay_seconds=0, drain_timeout_seconds=0.2), metrics)
    drain.ask()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            await drain.leave(nothing, lambda: None)
            return
    pytest.fail("the drain did not end")


def test_a_process_is_not_ready_before_its_start_is_over() -> None:
    assert not Drain(QUICK, Metrics()).ready
