"""Starts a gRPC server for each provider instance that the engine asks for, all in this process.

The engine starts one plugin process for every explicit provider. Here that process is a few lines that ask this
server, over a Unix socket, for an instance, and print its port: the SDKs are loaded once and one `Cloud` is behind
all instances, also after an engine was killed, as a real cloud would be.
"""

from __future__ import annotations

import contextlib
import socket
import stat
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from pulumi.runtime.proto import provider_pb2_grpc

from tests.engine.standins.aws import Aws
from tests.engine.standins.cloud import Cloud
from tests.engine.standins.kubernetes import Kubernetes
from tests.engine.standins.package import Package
from tests.engine.standins.provider import StandIn
from tests.engine.standins.random import Random
from tests.engine.standins.tls import Tls

PACKAGES: tuple[type[Package], ...] = (Aws, Kubernetes, Random, Tls)
_LIMIT = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]

_PLUGIN = """#!{python} -SE
import os, select, socket
engine = os.getppid()
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
server.sendall(b"{package}\\n")
print(server.makefile().readline().strip(), flush=True)
while os.getppid() == engine and not select.select([server], [], [], 0.2)[0]:
    pass
"""


class Providers:
    """The stand-in providers of one test: `with Providers(directory) as providers:`; put `plugins` on PATH.

    `cloud` is what they hold; leaving the block stops every server and thread.
    """

    def __init__(self, directory: Path) -> None:
        self.cloud = Cloud()
        self.plugins = directory / "plugins"
        self.plugins.mkdir()
        # A socket's path is short by rule (108 bytes); an abstract name has no path and leaves nothing behind.
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind("")
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        address = self._listener.getsockname()
        for package in PACKAGES:
            plugin = self.plugins / f"pulumi-resource-{package.name}"
            plugin.write_text(_PLUGIN.format(python=sys.executable, address=address, package=package.name))
            plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
        self._listener.listen(64)
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cloud.release()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed: the block was left
            self._connections.add(connection)
            self._start(self._instance, connection)

    def _instance(self, connection: socket.socket) -> None:
        """Serves one provider instance for as long as its plugin process lives."""
        with connection, connection.makefile() as lines, ThreadPoolExecutor(16) as pool:
            wanted = lines.readline().strip()
            package = next(package for package in PACKAGES if package.name == wanted)
            server = grpc.server(pool, options=_LIMIT)
            provider_pb2_grpc.add_ResourceProviderServicer_to_server(StandIn(package(), self.cloud), server)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            with contextlib.suppress(OSError):  # the plugin died; its engine was killed
                connection.sendall(f"{port}\n".encode())
                lines.readline()
            server.stop(grace=None).wait()
        self._connections.discard(connection)
