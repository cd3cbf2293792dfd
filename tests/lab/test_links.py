from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lab.links import Condition, LinkError, Links, Route, conditions, steer
from lab.servers.process import Process, User, free_port, work_directory

ONE_WAY = 0.05


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def linked(**values: float) -> AsyncIterator[tuple[Links, int]]:
    """Links with one route from `a` to an echo server in `b`; the port to connect to."""
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        target = server.sockets[0].getsockname()[1]
        route = Route("a", "b", ("127.0.0.1", free_port()), ("127.0.0.1", target))
        both = {("a", "b"): Condition(ONE_WAY), ("b", "a"): Condition(ONE_WAY)}
        links = Links([route], both)
        links.set("a", "b", values)
        (listener,) = await links.listen()
        async with listener:
            yield links, route.listen[1]


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes = b"x") -> float:
    """Seconds until the echo is back whole."""
    began = time.monotonic()
    writer.write(data)
    assert await asyncio.wait_for(reader.readexactly(len(data)), 10) == data
    return time.monotonic() - began


async def test_an_answer_takes_the_round_trip_and_not_twice_that() -> None:
    async with linked() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await ask(reader, writer)
        took = min([await ask(reader, writer) for _ in range(5)])
        writer.close()
    assert 2 * ONE_WAY <= took < 4 * ONE_WAY


async def test_a_new_connection_costs_a_round_trip_more() -> None:
    async with linked() as (_, port):
        began = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await ask(reader, writer)
        writer.close()
        assert time.monotonic() - began >= 4 * ONE_WAY


async def test_bytes_arrive_in_order_and_many_are_under_way_at_once() -> None:
    sent = bytes(range(256)) * 4096
    async with linked() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        took = await ask(reader, writer, sent)
        writer.close()
    assert took < 20 * ONE_WAY  # a chunk at a time would take a round trip for each of 16


async def test_the_rate_bounds_how_fast_bytes_pass() -> None:
    async with linked(rate=1_000_000) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        took = await ask(reader, writer, b"x" * 500_000)
        writer.close()
    assert took >= 0.5


async def test_a_cut_ends_connections_under_way_and_takes_none_until_it_is_joined() -> None:
    async with linked() as (links, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await ask(reader, writer)
        links.set("b", "a", {"cut": True})
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()
        with contextlib.suppress(ConnectionError):
            late, refused = await asyncio.open_connection("127.0.0.1", port)
            refused.write(b"x")
            assert await asyncio.wait_for(late.read(), 2) == b""
            refused.close()
        links.set("b", "a", {"cut": False})
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await ask(reader, writer)
        writer.close()


async def test_a_link_that_drops_breaks_connections() -> None:
    async with linked(drop=1.0) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 2) == b""
        writer.close()


async def test_the_end_of_one_direction_is_passed_on() -> None:
    async with linked() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"last")
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5) == b"last"
        writer.close()


def test_round_trips_are_halved_for_each_direction() -> None:
    assert conditions({("a", "b"): 0.14}) == {("a", "b"): Condition(0.07), ("b", "a"): Condition(0.07)}


def test_a_condition_refuses_what_it_does_not_have() -> None:
    with pytest.raises(LinkError, match="no jitter"):
        Condition(0.1).changed(jitter=1)


def test_an_unknown_link_is_named() -> None:
    with pytest.raises(LinkError, match="no link from a to c"):
        Links([], {}).set("a", "c", {"cut": True})


async def test_a_taken_address_is_named() -> None:
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        links = Links([Route("a", "b", ("127.0.0.1", port), ("127.0.0.1", 1))], {})
        with pytest.raises(LinkError, match=f"127.0.0.1:{port} is taken"):
            await links.listen()


@pytest.fixture
def directory() -> Iterator[Path]:
    with work_directory("hal9-links", User.current()) as path:
        yield path


def routes_file(directory: Path, port: int) -> Path:
    path = directory / "routes.json"
    route = {"source": "a", "destination": "b", "listen": ["127.0.0.1", port], "target": ["127.0.0.1", 1]}
    path.write_text(json.dumps({"routes": [route], "round_trips": [["a", "b", 0.1]]}))
    return path


def links_command(directory: Path, port: int) -> list[str | Path]:
    control, routes = directory / "control", routes_file(directory, port)
    return [sys.executable, "-m", "lab.links", "--control", control, "--routes", routes]


def test_the_process_is_steered_through_its_socket_and_says_what_it_refuses(directory: Path) -> None:
    root = Path(__file__).parents[2]
    process = Process(
        links_command(directory, free_port()), directory / "log", User.current(), {"PYTHONPATH": str(root)}
    )
    process.start((directory / "control").exists)
    try:
        steer(directory / "control", [{"source": "a", "destination": "b", "cut": True}])
        with pytest.raises(LinkError, match="no link from a to z"):
            steer(directory / "control", [{"source": "a", "destination": "z", "cut": True}])
    finally:
        process.stop()


def test_the_process_says_in_one_line_which_address_is_taken(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [str(part) for part in links_command(directory, port)], check=False, capture_output=True, text=True
        )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [f"127.0.0.1:{port} is taken (Address already in use)"]


def test_links_that_do_not_run_are_said_so(directory: Path) -> None:
    with pytest.raises(LinkError, match="do not run"):
        steer(directory / "absent", [])
