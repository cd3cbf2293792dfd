"""`python -m app.gateway --socket PATH --port N [--certificate FILE ...]`: count nginx's answers until SIGTERM."""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import contextlib
import signal
import socket
import sys
from pathlib import Path

from prometheus_client import start_http_server

from app.gateway.answers import Answers, registry

DATAGRAM_BYTES = 4096


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 after SIGTERM, 2 where the socket or the port cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m app.gateway", description="Count nginx's answers for Prometheus.")
    parser.add_argument("--socket", type=Path, required=True, metavar="PATH", help="where nginx's syslog sends to")
    parser.add_argument("--port", type=int, required=True, help="of /metrics")
    parser.add_argument("--certificate", type=Path, action="append", default=[], metavar="FILE", help="PEM, watched")
    given = parser.parse_args(arguments)
    answers = Answers(given.certificate)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        given.socket.unlink(missing_ok=True)  # of the container before this one
        start_http_server(given.port, registry=registry(answers))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(str(given.socket))
            while True:
                answers.take(listening.recv(DATAGRAM_BYTES))
    except OSError as error:
        print(f"hal9: {given.socket}, port {given.port}: {error}", file=sys.stderr)
        return 2
    finally:
        with contextlib.suppress(OSError):
            given.socket.unlink()


if __name__ == "__main__":
    console.run(main)
