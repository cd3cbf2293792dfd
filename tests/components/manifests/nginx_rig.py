"""A real nginx in front of small servers, for the tests of the rendered configuration."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from components.manifests import nginx
from lab.servers import programs
from lab.servers.certificates import issue
from lab.servers.nginx import fitted
from lab.servers.process import free_port


class Backend(ThreadingHTTPServer):
    """A stand-in for `hal9-server`: answers what it was asked as JSON, and counts its connections."""

    daemon_threads = True

    def __init__(self, name: str, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name, self.status, self.connections, self.requests = name, status, 0, 0
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Backend

    def do_GET(self) -> None:
        self.server.requests += 1
        if self.headers.get("Upgrade"):
            self._websocket()
            return
        body = json.dumps({"server": self.server.name, "headers": {k.lower(): v for k, v in self.headers.items()}})
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def _websocket(self) -> None:
        """Enough of a protocol switch to see that bytes pass both ways after it."""
        self.send_response(101)
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.send_header("Connection", self.headers["Connection"])
        self.end_headers()
        self.wfile.write(b"echo:" + self.rfile.readline())
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Silent."""


@dataclass(frozen=True)
class Answer:
    """A response: status and the backend's JSON where it sent one."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def server(self) -> str:
        return str(self.body.get("server"))

    def header(self, name: str) -> str | None:
        headers: dict[str, str] = self.body["headers"]
        return headers.get(name)


@dataclass
class Certificates:
    """An authority, and a server's and a stranger's certificate, as PEM files."""

    folder: Path

    def __post_init__(self) -> None:
        for authority, name in (("ca", "server"), ("other-ca", "stranger")):
            apart = self.folder / authority
            apart.mkdir()
            issued = issue(apart, ["origin.test"], [])
            issued.authority.rename(self.folder / f"{authority}.crt")
            issued.certificate.rename(self.folder / f"{name}.crt")
            issued.key.rename(self.folder / f"{name}.key")


class Nginx:
    """nginx running on a rendered configuration. `gateway` is what it was rendered from."""

    def __init__(self, gateway: nginx.Gateway, certificates: Certificates) -> None:
        self.gateway, self.certificates = gateway, certificates
        self.configuration = Path(gateway.directory) / "nginx.conf"
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, gateway: nginx.Gateway) -> None:
        self.gateway = gateway
        self.configuration.write_text(fitted(nginx.render(gateway)))

    def check(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [programs.nginx(), "-t", "-c", str(self.configuration)], capture_output=True, text=True, check=False
        )

    def __enter__(self) -> Self:
        self.write(self.gateway)
        self._process = subprocess.Popen(
            [programs.nginx(), "-c", str(self.configuration), "-g", "daemon off;"], stderr=subprocess.PIPE
        )
        wait_until(lambda: connects(self.health_port))
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.communicate(timeout=20)

    @property
    def port(self) -> int:
        return int(self.gateway.listen.rpartition(":")[2])

    @property
    def peer_port(self) -> int:
        return int(self.gateway.listen_peers.rpartition(":")[2])

    @property
    def health_port(self) -> int:
        return int(self.gateway.listen_health.rpartition(":")[2])

    def connect(
        self, *, source: str = "127.0.0.1", port: int | None = None, client: str = ""
    ) -> http.client.HTTPSConnection:
        """A TLS connection from the loopback address `source`, with the client certificate named `client`."""
        context = ssl.create_default_context(cafile=str(self.certificates.folder / "ca.crt"))
        context.check_hostname = False
        if client:
            context.load_cert_chain(
                self.certificates.folder / f"{client}.crt", self.certificates.folder / f"{client}.key"
            )
        return http.client.HTTPSConnection(
            "127.0.0.1", port or self.port, context=context, source_address=(source, 0), timeout=10
        )

    def get(
        self, headers: dict[str, str] | None = None, *, method: str = "GET", path: str = "/v1/items", **how: Any
    ) -> Answer:
        with contextlib.closing(self.connect(**how)) as connection:
            return ask(connection, headers, method=method, path=path)

    def health(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.health_port, timeout=5)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def reload(self) -> None:
        subprocess.run(
            [programs.nginx(), "-s", "reload", "-c", str(self.configuration)], check=True, capture_output=True
        )


def ask(
    connection: http.client.HTTPConnection,
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    path: str = "/v1/items",
) -> Answer:
    """One request on an open connection."""
    connection.request(method, path, body=b"{}" if method == "POST" else None, headers=headers or {})
    response = connection.getresponse()
    raw = response.read()
    try:
        return Answer(response.status, json.loads(raw))
    except ValueError:
        return Answer(response.status)


def connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s")
        time.sleep(0.02)


@contextlib.contextmanager
def folder_for(name: str) -> Iterator[Path]:
    """A short-named folder (Unix sockets have 107 characters) that nginx's workers can use."""
    with tempfile.TemporaryDirectory(prefix=f"ng-{name[:8]}-") as text:
        Path(text).chmod(0o777)
        yield Path(text)


def gateway(
    folder: Path, certificates: Certificates, region: str, *local: Backend | int, **changes: Any
) -> nginx.Gateway:
    """A Gateway on free loopback ports in `folder`, with limits high enough not to be met."""
    ports = [b if isinstance(b, int) else b.port for b in local]
    base = nginx.Gateway(
        region=region,
        server_name="hal9.test",
        local=tuple(nginx.Upstream("127.0.0.1", port) for port in ports),
        default_region="us-west",
        certificate=str(certificates.folder / "server.crt"),
        key=str(certificates.folder / "server.key"),
        authority=str(certificates.folder / "ca.crt"),
        address_rate=100_000,
        address_burst=100_000,
        user_rate=100_000,
        user_burst=100_000,
        max_body_bytes=1024,
        session_cookie="__Host-hal9",
        peer_name="origin.test",
        countries={"DE": "eu-central", "IN": "ap-south"},
        trusted_cidrs=("127.0.0.1/32",),
        listen=f"127.0.0.1:{free_port()}",
        listen_peers=f"127.0.0.1:{free_port()}",
        listen_health=f"127.0.0.1:{free_port()}",
        directory=str(folder),
        access_log=f"{folder}/access.log",
        workers="1",
        connections=512,
        shutdown_seconds=5,
    )
    return replace(base, **changes)
