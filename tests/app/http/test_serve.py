"""What the server and those in front of it must agree on."""

from __future__ import annotations

import re
from pathlib import Path

from app.http.serve import HEAD_SECONDS

NGINX = Path(__file__).resolve().parents[3] / "components" / "manifests" / "templates" / "nginx" / "nginx.conf.j2"


def test_an_idle_connection_is_closed_by_nginx_and_not_under_its_next_request() -> None:
    kept = [int(seconds) for seconds in re.findall(r"keepalive_timeout\s+(\d+)s", NGINX.read_text())]
    assert kept
    assert max(kept) < HEAD_SECONDS
