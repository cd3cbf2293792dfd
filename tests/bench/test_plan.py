"""The benchmark's stack files and its table."""

from __future__ import annotations

from bench.plan import REGION_COUNTS, Measured, grown, table
from plan.program import REPOSITORY
from plan.project import stack_file
from plan.reader import read_yaml
from tests.conftest import PlanOf
from topology.load import parse


def test_regions_are_added_behind_the_others(plan_of: PlanOf) -> None:
    data = read_yaml(stack_file(REPOSITORY, "prod"))
    regions = grown(data, 6)["config"]["hal9:regions"]
    assert len(regions) == 6
    plan = plan_of("prod", edit=lambda stack: stack.update(grown(stack, 4)))
    assert len(plan.of_type("aws:eks/cluster:Cluster")) == 4


def test_the_largest_stack_file_has_no_mistake() -> None:
    data = read_yaml(stack_file(REPOSITORY, "prod"))
    settings = {key.removeprefix("hal9:"): value for key, value in grown(data, max(REGION_COUNTS))["config"].items()}
    settings.pop("pulumi:disable-default-providers")
    assert len(parse("prod", settings).regions) == max(REGION_COUNTS)


def test_a_ratio_is_taken_in_each_turn() -> None:
    flat = [Measured(1, 1, 100, 10), Measured(2, 2, 100, 10), Measured(4, 4, 100, 10)]
    real = [Measured(2, 1.2, 100, 10), Measured(4, 2.6, 100, 10), Measured(8, 4, 100, 10)]
    lines = table({"flat": flat, **{f"{count} regions": real for count in REGION_COUNTS}})
    assert lines[1].split("process")[1].split() == ["2.00", "(2.00", "to", "2.00)"]
    assert lines[2].split("loaded")[1].split() == ["1.20", "(1.00", "to", "1.30)", "goal", "1.3"]
