"""Random requests made from the app's own OpenAPI document find no
5xx, and no answer that it does not describe: `make fuzz`.

schemathesis makes them, valid ones and broken ones, NULs included. HAL9_FUZZ_EXAMPLES is how many of them for each
operation and kind of input.
"""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.deployment import LimitConfig, ServerConfig
from lab import alone
from lab.alone import Alone

pytestmark = pytest.mark.fuzz

EXAMPLES = int(os.environ.get("HAL9_FUZZ_EXAMPLES", "15"))
LONGEST_SECONDS = 60 + EXAMPLES * 5
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
UNLIMITED = LimitConfig(user_rate=1e6, user_burst=1_000_000, global_rate=1e6, global_burst=1_000_000)
ENDS_THE_SESSION = ("createSession", "deleteSession", "deleteSessions")
OUR_CREDENTIALS = ("--generation-with-security-parameters", "false")


@pytest.fixture(scope="module")
def region() -> Iterator[Alone]:
    with alone.servers(server=ServerConfig(drain_delay_seconds=0), limits=UNLIMITED) as region:
        process = alone.app_process(region)
        process.start(lambda: alone.answers(f"http://127.0.0.1:{region.document.server.port}/readyz"))
        yield region
        process.stop()


def fuzz(region: Alone, tmp_path: Path, *arguments: str) -> None:
    """Run schemathesis in a directory of its own. Fails with its report where `CHECKS` found something."""
    url = f"http://127.0.0.1:{region.document.server.port}/openapi.json"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            url,
            "--checks",
            CHECKS,
            "--phases",
            "coverage,fuzzing",
            "--max-examples",
            str(EXAMPLES),
            "--generation-database",
            "none",
            "--suppress-health-check",
            "all",
            "--warnings",
            "off",
            "--no-color",
            "--request-timeout",
            "10",
            *arguments,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def answered(region: Alone, status: str) -> float:
    """Requests to the API that were answered with this class."""
    with urllib.request.urlopen(f"http://127.0.0.1:{region.document.server.metrics_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    wanted = [line for line in lines if line.startswith("hal9_http_requests_total{") and f'status="{status}"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in wanted if 'route="/v1/' in line)


@pytest.mark.timeout(LONGEST_SECONDS + 60)
def test_no_request_of_a_signed_in_user_is_answered_with_a_5xx(region: Alone, tmp_path: Path) -> None:
    cookie = alone.sign_in(region, alone.register(region))
    before = answered(region, "2xx")
    excluded = [part for name in ENDS_THE_SESSION for part in ("--exclude-operation-id", name)]
    fuzz(region, tmp_path, *OUR_CREDENTIALS, "--header", f"Cookie: {cookie}", *excluded)
    assert answered(region, "5xx") == 0
    assert answered(region, "4xx") > 20
    assert answered(region, "2xx") > before + 20


@pytest.mark.timeout(LONGEST_SECONDS + 60)
def test_no_log_in_is_answered_with_a_5xx(region: Alone, tmp_path: Path) -> None:
    token = region.identity.token(alone.register(region))
    before = answered(region, "2xx")
    included = [part for name in ENDS_THE_SESSION for part in ("--include-operation-id", name)]
    fuzz(region, tmp_path, *OUR_CREDENTIALS, "--header", f"Authorization: Bearer {token}", *included)
    assert answered(region, "5xx") == 0
    assert answered(region, "2xx") > before


@pytest.mark.timeout(LONGEST_SECONDS + 60)
def test_no_registration_is_answered_with_a_5xx(region: Alone, tmp_path: Path) -> None:
    token, before = region.identity.service_token(), answered(region, "2xx")
    bearer = ("--header", f"Authorization: Bearer {token}")
    fuzz(region, tmp_path, *OUR_CREDENTIALS, *bearer, "--include-operation-id", "registerUser")
    assert answered(region, "5xx") == 0
    assert answered(region, "2xx") > before


@pytest.mark.timeout(LONGEST_SECONDS + 60)
def test_no_made_up_cookie_or_token_is_let_in_or_answered_with_a_5xx(region: Alone, tmp_path: Path) -> None:
    before, refused = answered(region, "2xx"), answered(region, "4xx")
    fuzz(region, tmp_path)
    assert answered(region, "5xx") == 0
    assert answered(region, "2xx") == before
    assert answered(region, "4xx") > refused + 20
