"""The app's fixtures, each area's in a module of its own; here they are only named."""

from __future__ import annotations

import pytest

from tests.app.fixtures_postgres import databases, deployment, make_databases, moves_slots, postgres
from tests.app.fixtures_redis import redis_document, redis_regions, redis_servers
from tests.app.fixtures_sessions import world

__all__ = [
    "databases",
    "deployment",
    "make_databases",
    "postgres",
    "redis_document",
    "redis_regions",
    "redis_servers",
    "world",
]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not moves_slots():
        terminalreporter.write_line(
            "left out: tests/app/reshard, as this PostgreSQL of the system moves no slots (16 does)"
        )
