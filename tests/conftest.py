"""What the tests of every folder share."""

from __future__ import annotations

import copy
import gc
import json
from collections.abc import Callable
from typing import Any, Protocol

import pytest

from plan import Plan, run
from plan.program import REPOSITORY
from plan.project import stack_file
from plan.reader import read_yaml


def pytest_collection_finish() -> None:
    """Keep the collector of garbage from what lives as long as the session: it took a tenth of the processors.

    What the imports left (pulumi's, AWS's and pydantic's types: a million objects) is never garbage, and a plan makes
    tens of thousands of objects that all live, so that the default of a look at every 700 finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


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
