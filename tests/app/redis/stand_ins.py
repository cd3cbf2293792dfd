"""What stands in the way of a Redis client: a name that is pointed elsewhere, and servers that misbehave to order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import hiredis

from app.deployment import Endpoint

Answer = Callable[[list[bytes], int], bytes | None]
"""The bytes for a command on the n-th connection (from 0); None closes it, b"" answers nothing."""


class _Listening:
    """A port of the loopback, whose connections end with it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.accepted = 0
        self.open = 0

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(host=self.host, port=self.port, tls=False)

    async def __aenter__(self) -> Any:
        self._server = await asyncio.start_server(self._accept, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        number, self.accepted = self.accepted, self.accepted + 1
        self.open += 1
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):  # of our own closing
                await self.serve(reader, writer, number)
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        raise NotImplementedError


class Name(_Listening):
    """A DNS name as a client sees it: a new connection goes where it points now, an open one stays where it is."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.points_to = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        there, out = await asyncio.open_connection("127.0.0.1", self.points_to)
        ways: list[asyncio.Task[None]] = []
        try:
            ways = [asyncio.create_task(_copy(reader, out)), asyncio.create_task(_copy(there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            out.transport.abort()


class Scripted(_Listening):
    """A server that answers by `answer`. `greeting` is said before it is asked, as a server that is full does."""

    def __init__(self, answer: Answer, greeting: bytes = b"", host: str = "127.0.0.1") -> None:
        super().__init__(host)
        self._answer = answer
        self._greeting = greeting

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        requests = hiredis.Reader()
        writer.write(self._greeting)
        while data := await reader.read(65536):
            requests.feed(data)
            while (command := requests.gets()) is not False:
                said = self._answer(command, number)
                if said is None:
                    return
                writer.write(said)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
