"""A run of the program, and runs beside each other."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from plan import Plan, ProgramFailed, run
from tests.plan.conftest import CONFIG, Planned, Programs


def test_the_program_reads_the_stacks_configuration(planned: Planned) -> None:
    body = """
        config = pulumi.Config()
        pulumi.export("n", config.require_int("n") + 1)
        pulumi.export("zones", config.require_object("zones")["a"])
        pulumi.export("stack", f"{pulumi.get_project()}/{pulumi.get_stack()}")
    """
    plan = planned(body, {"sample:n": 3, "sample:zones": {"a": ["b"]}})
    assert plan.outputs == {"n": 4, "zones": ["b"], "stack": "sample/dev"}


def test_what_the_program_says_is_kept(planned: Planned) -> None:
    plan = planned("print('hello')\npulumi.log.warn('careful')")
    assert plan.messages == ("warning: careful", "printed: hello")


def test_plans_in_one_process_do_not_see_each_other(program: Programs) -> None:
    project = program("pulumi.export('n', pulumi.Config().get('n') or 'none')")
    first = run("dev", project=project, stack_file={"config": {**CONFIG, "sample:n": "1"}})
    second = run("dev", project=project, stack_file={"config": CONFIG})
    assert (first.outputs, second.outputs) == ({"n": "1"}, {"n": "none"})


def test_a_failed_plan_leaves_no_trace(program: Programs) -> None:
    project = program("raise ValueError(pulumi.Config().get('n'))")
    with pytest.raises(ProgramFailed):
        run("dev", project=project)
    assert run("dev", project=program("random.RandomPet('a')")).of_type("RandomPet")


def test_a_plan_puts_the_process_back_as_it_was(program: Programs) -> None:
    project = program("pulumi.export('cwd', __import__('os').getcwd())")
    before = (Path.cwd(), list(sys.path), list(sys.argv), dict(os.environ))
    plan = run("dev", project=project)
    assert plan.outputs == {"cwd": str(project.resolve())}
    assert before == (Path.cwd(), sys.path, sys.argv, dict(os.environ))


async def test_a_plan_can_be_made_inside_an_event_loop(program: Programs) -> None:
    project = program("pulumi.export('a', 1)")
    plans = await asyncio.gather(*(asyncio.to_thread(run, "dev", project=project) for _ in range(3)))
    assert [plan.outputs for plan in plans] == [{"a": 1}] * 3
    assert isinstance(run("dev", project=project), Plan)


def test_a_program_that_leaves_with_a_status_has_failed(program: Programs) -> None:
    with pytest.raises(ProgramFailed, match=r"sys.exit\('no quota'\)"):
        run("dev", project=program("import sys\nsys.exit('no quota')"))
    assert run("dev", project=program("import sys\nrandom.RandomPet('a')\nsys.exit(0)")).of_type("RandomPet")
