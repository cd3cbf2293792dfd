"""TLS in front of a server that has none: nginx's stream module, which passes on what it deciphers."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from app.deployment import Endpoint
from lab.servers import programs
from lab.servers.certificates import Certificates
from lab.servers.process import Process, ProcessError, User

CONFIGURATION = """\
daemon off;
worker_processes 1;
pid "{directory}/nginx.pid";
error_log stderr warn;
events {{ worker_connections 256; }}
stream {{
    server {{
        listen {host}:{port} ssl;
        ssl_certificate "{certificates.certificate}";
        ssl_certificate_key "{certificates.key}";
        ssl_protocols {protocols};
        proxy_pass {behind.host}:{behind.port};
    }}
}}
"""


@dataclass
class TlsFront:
    """nginx on `host`:`port` in `directory`, which shows a
    certificate and passes everything on to the server behind.
    """

    directory: Path
    certificates: Certificates
    behind: Endpoint
    port: int
    host: str = "127.0.0.1"
    protocols: str = "TLSv1.2 TLSv1.3"
    _process: Process | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises: ProcessError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(**vars(self)))
        # Its pid goes into the directory, so it runs as who owns that.
        self._process = Process([programs.nginx(), "-c", configuration], self.directory / "nginx.log", User.current())
        self._process.start(self._listens)

    def stop(self) -> None:
        """End it; safe to repeat."""
        if self._process is not None:
            self._process.stop()

    def _listens(self) -> bool:
        if self._process is None:
            raise ProcessError("this nginx was not started")
        with socket.socket() as connection:
            connection.settimeout(1)
            return connection.connect_ex((self.host, self.port)) == 0
