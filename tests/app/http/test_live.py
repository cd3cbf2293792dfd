"""WebSockets on a real server: presence, the end of the session, and a server that leaves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import websockets
from websockets.asyncio.client import ClientConnection, connect

from app.http import live as live_module
from app.http.errors import explain
from app.http.live import Live
from app.http.presence import Presence
from app.http.problem import Problem
from app.http.request import Request
from app.http.serve import Port
from app.sessions.manager import SessionsUnreachable
from lab.servers.process import free_port


class Sockets:
    """A server of WebSockets whose sessions a test ends."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.full: Problem | None = None
        self.over = False
        self.entered = 0
        self.users = itertools.repeat("")
        self.presence = Presence()
        self.live = Live(self.enter, self.sign_in, explain, self.presence, self.shed, check_seconds=0.05)
        self.number = free_port()
        self.port = Port(self.live, self.number, "127.0.0.1")

    def shed(self) -> None:
        if self.full is not None:
            raise self.full

    async def enter(self, request: Request) -> Any:
        self.entered += 1
        return await self.sign_in(request)

    async def sign_in(self, _: Request) -> Any:
        if self.error is not None:
            raise self.error
        return SimpleNamespace(user=next(self.users) or str(uuid4()), over=lambda: self.over)

    def connect(self, **headers: str) -> connect:
        return connect(f"ws://127.0.0.1:{self.number}/v1/live", additional_headers=headers)


async def refused(connecting: connect) -> int:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with connecting:
            pass
    return caught.value.response.status_code


@pytest_asyncio.fixture
async def sockets() -> AsyncIterator[Sockets]:
    sockets = Sockets()
    await sockets.port.open()
    yield sockets
    await sockets.live.close_all()
    await sockets.port.close(1)


async def closed(live: ClientConnection) -> int | None:
    with pytest.raises(websockets.ConnectionClosed):
        await asyncio.wait_for(live.recv(), 5)
    return live.close_code


async def test_a_socket_outlives_many_looks_at_its_session(sockets: Sockets) -> None:
    async with sockets.connect() as live:
        await asyncio.sleep(0.3)
        await live.send("ping")
        assert await live.recv() == "pong"


async def test_a_log_out_ends_the_socket(sockets: Sockets) -> None:
    async with sockets.connect() as live:
        sockets.error = Problem(401, "session-ended", "")
        assert await closed(live) == 4401


async def test_a_session_store_that_is_away_ends_no_socket(sockets: Sockets) -> None:
    async with sockets.connect() as live:
        sockets.error = SessionsUnreachable(["us-west"])
        await asyncio.sleep(0.3)
        await live.send("ping")
        assert await live.recv() == "pong"


async def test_leaving_closes_every_socket_and_takes_no_new_one(sockets: Sockets) -> None:
    async with sockets.connect() as one, sockets.connect() as two:
        await asyncio.sleep(0.2)
        assert sockets.presence.count() == 2
        closing = asyncio.create_task(sockets.live.close_all())
        assert [await closed(one), await closed(two)] == [1012, 1012]
        await closing
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with sockets.connect():
            pass
    assert caught.value.response.status_code == 503


async def test_a_client_that_vanishes_is_forgotten(sockets: Sockets) -> None:
    live = await sockets.connect()
    live.transport.abort()
    async with asyncio.timeout(5):
        while sockets.live._open:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("problem", [Problem(429, "too-many-requests", ""), Problem(401, "no-session", "")])
async def test_a_handshake_goes_through_the_gate(sockets: Sockets, problem: Problem) -> None:
    sockets.error = problem
    assert await refused(sockets.connect()) == problem.status
    assert sockets.entered == 1


async def test_a_process_that_is_full_sheds_the_handshake_before_it_costs_anything(sockets: Sockets) -> None:
    sockets.full = Problem(503, "overloaded", "")
    assert await refused(sockets.connect()) == 503
    assert sockets.entered == 0


async def test_a_handshake_that_hangs_is_given_up(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "HANDSHAKE_SECONDS", 0.1)

    async def hang(_: Request) -> Any:
        await asyncio.sleep(60)

    sockets.live._enter = hang
    assert await refused(sockets.connect()) == 504


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("https://evil.hal9.example", 403),
        ("https://hal9.example.evil.example", 403),
        ("null", 403),
        ("", 403),
        ("https://[", 403),
        ("https://hal9.example", 101),
        ("https://HAL9.example:8443", 101),
    ],
)
async def test_a_page_of_another_host_is_refused(sockets: Sockets, origin: str, status: int) -> None:
    connecting = sockets.connect(**{"Origin": origin, "X-Forwarded-Host": "hal9.example"})
    if status == 101:
        async with connecting as live:
            await live.send("ping")
            assert await live.recv() == "pong"
    else:
        assert await refused(connecting) == status


async def test_without_an_edge_the_page_must_be_of_the_host_that_was_asked(sockets: Sockets) -> None:
    async with sockets.connect(Origin="http://127.0.0.1"):
        pass
    assert await refused(sockets.connect(Origin="http://localhost")) == 403


async def test_a_user_has_so_many_sockets_and_another_user_s_are_not_theirs(sockets: Sockets) -> None:
    sockets.users = itertools.repeat("greedy")
    async with contextlib.AsyncExitStack() as stack:
        held = [await stack.enter_async_context(sockets.connect()) for _ in range(live_module.MAX_SOCKETS_OF_USER)]
        assert await refused(sockets.connect()) == 429
        sockets.users = itertools.repeat("modest")
        await stack.enter_async_context(sockets.connect())
        sockets.users = itertools.repeat("greedy")
        await held[0].close()
        async with asyncio.timeout(2):
            while sockets.live._of_user["greedy"] == len(held):
                await asyncio.sleep(0.01)
        await stack.enter_async_context(sockets.connect())


async def test_a_socket_that_asks_too_much_is_closed(sockets: Sockets) -> None:
    async with sockets.connect() as live:
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in range(10 * live_module.MESSAGE_BURST):
                await live.send("ping")
                await live.recv()
        assert live.close_code == 4429


@pytest.mark.parametrize("known", ["by the store", "by this process"])
@pytest.mark.parametrize("manner", ["quiet", "asking", "asking fast"])
async def test_the_session_s_end_ends_the_socket_within_a_second_whatever_the_client_does(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch, manner: str, known: str
) -> None:
    monkeypatch.setattr(live_module, "MESSAGE_BURST", 10_000)
    sockets.live._check_seconds = live_module.CHECK_SECONDS
    async with sockets.connect() as live:
        stopped = asyncio.Event()

        async def ask() -> None:
            while manner != "quiet" and not stopped.is_set():
                await live.send("ping")
                await live.recv()
                await asyncio.sleep(0.1 if manner == "asking" else 0.001)

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0.1)
        began = time.monotonic()
        if known == "by the store":
            sockets.error = Problem(401, "session-ended", "")
        else:
            sockets.over = True
        await asyncio.wait_for(live.wait_closed(), 5)
        assert time.monotonic() - began < 1.2  # a second, and the machine's share
        assert live.close_code == 4401
        stopped.set()
        await asyncio.gather(asking, return_exceptions=True)


async def test_a_client_that_does_not_read_is_ended_too(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "MESSAGE_BURST", 10_000_000)
    monkeypatch.setattr(live_module, "SEND_SECONDS", 0.3)
    raw = socket.create_connection(("127.0.0.1", sockets.number))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.sendall(
        b"GET /v1/live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    raw.setblocking(False)
    frame = b"\x81\x84\x00\x00\x00\x00ping"
    for _ in range(200):
        with contextlib.suppress(BlockingIOError):
            raw.send(frame * 2000)
        await asyncio.sleep(0.005)
    sockets.over = True
    async with asyncio.timeout(5):
        while sockets.live._open:
            await asyncio.sleep(0.01)
    raw.close()
