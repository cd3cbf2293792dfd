"""The cluster's own nginx configuration, for the nginx that runs here."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

from lab.servers import programs
from lab.servers.process import Process, User

COUNTS = ("active", "reading", "writing", "waiting")
"""What ngx_http_stub_status_module counts of connections, for /metrics; the wheel's nginx is built without it."""


def fitted(text: str) -> str:
    """A rendered configuration, word for word. An nginx that cannot count its connections is told that each count is
    not a number, which Prometheus takes for unknown."""
    if _counts_connections():
        return text
    unknown = "".join(f'    map "" $connections_{count} {{ default NaN; }}\n' for count in COUNTS)
    return text.replace("\nhttp {\n", f"\nhttp {{\n{unknown}", 1)


def process(text: str, folder: Path, user: User) -> Process:
    """nginx as `user`, not started, with a rendered configuration that it keeps in `folder`."""
    configuration = folder / "nginx.conf"
    configuration.write_text(fitted(text))
    return Process([programs.nginx(), "-c", configuration, "-g", "daemon off;"], folder / "error.log", user)


@functools.cache
def _counts_connections() -> bool:
    told = subprocess.run([programs.nginx(), "-V"], check=True, capture_output=True, text=True)
    return "http_stub_status_module" in told.stderr
