"""What nginx answered is what is counted."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from prometheus_client import generate_latest

from app.gateway.answers import FORMAT, Answers, registry
from components.manifests import nginx
from lab.servers.process import free_port
from tests.components.manifests.nginx_rig import Backend, Certificates, Nginx, folder_for, gateway, wait_until


def _text(answers: Answers) -> str:
    return generate_latest(registry(answers)).decode()


def test_nginx_writes_what_this_reads() -> None:
    assert nginx.COUNTED_FORMAT == FORMAT


def test_the_series_of_a_ratio_are_there_before_the_first_request() -> None:
    text = _text(Answers())
    assert 'hal9_gateway_requests_total{passed="yes",status="200"} 0.0' in text
    assert 'hal9_gateway_requests_total{passed="no",status="503"} 0.0' in text


def test_an_answer_is_counted_by_status_and_by_whether_a_server_was_asked() -> None:
    answers = Answers()
    for line in (b"<190>Nov 28 02:40:00 nginx: 429 0.000 no", b"<190>Nov 28 02:40:00 nginx: 200 0.040 yes"):
        answers.take(line)
    text = _text(answers)
    assert 'hal9_gateway_requests_total{passed="no",status="429"} 1.0' in text
    assert 'hal9_gateway_requests_total{passed="yes",status="200"} 1.0' in text
    assert 'hal9_gateway_request_duration_seconds_bucket{le="0.05"} 2.0' in text


def test_a_websockets_hours_are_no_latency() -> None:
    answers = Answers()
    answers.take(b"101 7200.000 yes")
    assert "hal9_gateway_request_duration_seconds_count 0.0" in _text(answers)


@pytest.mark.parametrize("line", [b"", b"nonsense", b"999 0.1 yes", b"200 yes", b"200 0.1 maybe", b"\xff" * 300])
def test_what_cannot_be_read_makes_no_series_and_is_told(line: bytes) -> None:
    answers = Answers()
    before = _text(answers)
    answers.take(line)
    assert _text(answers) == before.replace("lines_unread_total 0.0", "lines_unread_total 1.0")


class Counted:
    """A real nginx and the real process beside it."""

    def __init__(self, folder: Path, certificates: Certificates, server: Nginx) -> None:
        self.folder, self.certificates, self.server = folder, certificates, server
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "app.gateway",
                "--socket",
                self.folder / "answers.sock",
                "--port",
                str(self.port),
                "--certificate",
                self.certificates.folder / "server.crt",
            ],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()},
        )
        wait_until((self.folder / "answers.sock").exists)
        (self.folder / "answers.sock").chmod(0o777)  # here nginx's workers are another user

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=10)

    def count(self, status: int, passed: str) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        name = f'hal9_gateway_requests_total{{passed="{passed}",status="{status}"}}'
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)), 0.0)

    def ends(self) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        name = 'hal9_gateway_certificate_expires_seconds{file="server.crt"}'
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    certificates = Certificates(tmp_path)
    with Backend("local") as backend, folder_for("counted") as folder:
        limits = {"address_rate": 1, "address_burst": 2}
        given = gateway(folder, certificates, "us-west", backend, counted_log=str(folder / "answers.sock"), **limits)
        with Nginx(given, certificates) as server:
            made = Counted(folder, certificates, server)
            made.start()
            yield made
            assert made.stop() == 0


def test_a_real_nginx_is_counted_what_it_refuses_included(counted: Counted) -> None:
    assert [counted.server.get().status for _ in range(5)] == [200, 200, 200, 429, 429]
    wait_until(lambda: (counted.count(200, "yes"), counted.count(429, "no")) == (3, 2))


def test_nginx_finds_the_process_again_that_was_started_anew(counted: Counted) -> None:
    counted.server.get()
    counted.stop()
    assert counted.server.get().status == 200  # nobody listens, and nobody waits
    counted.start()
    counted.server.get()
    wait_until(lambda: counted.count(200, "yes") >= 1)


def test_the_end_of_a_certificate_is_told(counted: Counted) -> None:
    certificate = x509.load_pem_x509_certificate((counted.certificates.folder / "server.crt").read_bytes())
    assert counted.ends() == certificate.not_valid_after_utc.timestamp()
