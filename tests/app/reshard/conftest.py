"""Moves of slots need PostgreSQL 16 (`origin = none`); the system's
may be 15, and then their tests are named and left out.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.fixtures_postgres import moves_slots

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if moves_slots():
        return
    moves = [item for item in items if item.path.is_relative_to(HERE)]
    if moves:
        config.hook.pytest_deselected(items=moves)
        items[:] = [item for item in items if item not in moves]
