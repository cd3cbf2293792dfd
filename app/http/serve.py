"""Granian inside this process's own event loop: one ASGI application on one port.

Embedded, because the drain must decide when connections are no longer taken; Granian's own process manager stops
on SIGTERM at once. One process a container: the autoscaler adds pods, not workers.
"""

from __future__ import annotations

import asyncio
import errno
import socket

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.types import ASGIApp

CONNECTIONS = 16_384
"""Connections kept open at once (Granian's `backpressure`). Requests are bounded by shedding, not by this."""
BACKLOG = 1024
HEAD_BYTES = 128 * 1024
"""Above this Granian itself answers 431, without a body; the app's own limit lies below it and says why."""
HEAD_SECONDS = 75
"""For a request's head, and for an idle connection too (hyper has one timer for both): longer than nginx keeps an idle
connection to us (65 s), so that it is nginx who closes it and no request meets a closed one."""


class PortInUse(Exception):
    """Another process listens on the port."""


class Port:
    """Serves `app` on `host`:`port` from `open` to `close`."""

    def __init__(self, app: ASGIApp, port: int, host: str = "0.0.0.0") -> None:  # noqa: S104 - a pod's own address
        self._address = (host, port)
        self._server = Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(header_read_timeout=HEAD_SECONDS * 1000, max_buffer_size=HEAD_BYTES),
            backlog=BACKLOG,
            backpressure=CONNECTIONS,
            log_enabled=False,
        )
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to take connections. Raises PortInUse, OSError."""
        self._check_free()
        self._serving = asyncio.create_task(self._server.serve())
        while not await asyncio.to_thread(self._answers):
            if self._serving.done():
                await self._serving
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Take no more connections; idle ones are closed, busy ones after their request."""
        self._server.stop()  # type: ignore[no-untyped-call]

    async def close(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for what is in flight, then end."""
        self.stop()
        if self._serving is not None:
            await asyncio.wait([self._serving], timeout=timeout)
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    def _check_free(self) -> None:
        """Granian shares ports between processes (SO_REUSEPORT): without this a second start would go unseen."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(self._address)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise PortInUse(f"port {self._address[1]} is in use by another process") from None
                raise

    def _answers(self) -> bool:
        host, port = self._address
        try:
            socket.create_connection(("127.0.0.1" if host == "0.0.0.0" else host, port), timeout=1).close()  # noqa: S104 - a pod's own address
        except OSError:
            return False
        return True
