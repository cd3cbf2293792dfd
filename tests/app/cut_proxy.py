"""A TCP proxy before Postgres that cuts the line at a commit, before or after the server has heard of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class CutProxy:
    """Forwards to `port` of the loopback. Once armed, a client message with `marker` in it ends the connection.

    `heard` says when: True, the server gets the message and commits, only the answer is lost; False, the server
    never sees it. `cuts` counts.
    """

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.cuts = 0
        self.connections = 0
        self._marker = b""
        self._heard = True
        self._left = 0

    def arm(self, marker: bytes, heard: bool, times: int = 1) -> None:
        """Cut the next `times` connections that send `marker`."""
        self._marker, self._heard, self._left = marker, heard, times

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        back = asyncio.create_task(self._copy(upstream_reader, writer))
        try:
            while data := await reader.read(65536):
                if self._left and self._marker in data:
                    self._left -= 1
                    self.cuts += 1
                    back.cancel()
                    if self._heard:
                        upstream.write(data)
                        await upstream.drain()
                        await upstream_reader.read(65536)  # the server's answer, which the client never gets
                    return
                upstream.write(data)
                await upstream.drain()
        except ConnectionError:
            return
        finally:
            back.cancel()
            self._tasks.discard(task)
            for stream in (writer, upstream):
                stream.transport.abort()

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
