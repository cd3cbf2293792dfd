"""What the tests of every folder share."""

from __future__ import annotations

import copy
import gc
import json
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest

from plan import Plan, run
from plan.program import REPOSITORY
from plan.project import stack_file
from plan.reader import read_yaml

gc.disable()
"""While modules are imported: nothing of what that makes is garbage, and looking for it took seconds."""


def pytest_collection_finish() -> None:
    """Have the collector look seldom from here on: it took a tenth of the processors, and found next to nothing."""
    settle()
    gc.set_threshold(100_000, 10, 100)
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def settled() -> Iterator[None]:
    """Let go of a module's garbage at its end; what is left then lives as long as the session, as its plans do."""
    yield
    settle()


def settle() -> None:
    """Collect what is garbage, and look at what is not never again."""
    gc.collect()
    gc.freeze()


class PlanOf(Protocol):
    """Plans the real program: `plan_of("prod")`, or with its stack file's data changed in place by `edit`."""

    def __call__(self, stack: str, edit: Callable[[dict[str, Any]], object] | None = None) -> Plan: ...


@pytest.fixture(scope="session")
def plan_of() -> PlanOf:
    """The plan of a stack, made once in a session for each content of its stack file."""
    plans: dict[str, Plan] = {}

    def of(stack: str, edit: Callable[[dict[str, Any]], object] | None = None) -> Plan:
        data = copy.deepcopy(read_yaml(stack_file(REPOSITORY, stack)))
        if edit is not None:
            edit(data)
        key = json.dumps([stack, data], sort_keys=True)
        if key not in plans:
            plans[key] = run(stack, stack_file=data)
        return plans[key]

    return of
