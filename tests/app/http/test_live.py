"""WebSockets on a real server: presence, the end of the session, and a server that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
import websockets
from websockets.asyncio.client import ClientConnection, connect

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
        self.presence = Presence()
        self.live = Live(self.sign_in, explain, self.presence, check_seconds=0.05)
        self.number = free_port()
        self.port = Port(self.live, self.number, "127.0.0.1")

    async def sign_in(self, _: Request) -> Any:
        if self.error is not None:
            raise self.error
        return SimpleNamespace(user=str(uuid4()))

    def connect(self) -> connect:
        return connect(f"ws://127.0.0.1:{self.number}/v1/live")


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
