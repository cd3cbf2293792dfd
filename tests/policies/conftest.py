"""What the tests of the policies share: prod's own plan as a stack, and what the policies say of a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date

import pytest

from plan.program import REPOSITORY
from plan.project import read_project
from policies import configuration
from policies.judge import Judgement, judge
from policies.registry import POLICIES
from policies.stack import Stack
from tests.conftest import PlanOf
from topology.settings import PolicyException

TODAY = date(2030, 1, 15)
Judge = Callable[..., Judgement]
StackOf = Callable[[str], Stack]


@pytest.fixture(scope="session")
def stack_of(plan_of: PlanOf) -> StackOf:
    """The plan of a stack as policies see it."""
    stacks: dict[str, Stack] = {}

    def of(name: str) -> Stack:
        if name not in stacks:
            stacks[name] = Stack(plan_of(name).resources, read_project(REPOSITORY, name).config)
        return stacks[name]

    return of


@pytest.fixture
def prod(stack_of: StackOf) -> Stack:
    """Prod's own plan."""
    return stack_of("prod")


@pytest.fixture(scope="session")
def judged() -> Judge:
    """What every policy says of a stack, with the settings of one of the stacks."""

    def of(
        stack: Stack,
        exceptions: tuple[PolicyException, ...] = (),
        settings: str = "prod",
        configured: Mapping[str, configuration.Configured] | None = None,
    ) -> Judgement:
        read = configured or configuration.read(configuration.file_of(settings), POLICIES)
        return judge(settings, stack, read, exceptions, TODAY)

    return of


def fired(judgement: Judgement) -> set[str]:
    """The names of the policies that found something."""
    return {verdict.policy.name for verdict in judgement.verdicts if verdict.violations}
