"""The flat program that the benchmark compares with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from bench.flat import write_flat_project
from plan import run
from tests.conftest import PlanOf
from tests.plan.conftest import Planned


def test_it_registers_the_same_types_with_the_same_inputs_and_no_component(plan_of: PlanOf, tmp_path: Path) -> None:
    plan = plan_of("dev")
    write_flat_project(plan, tmp_path)
    flat = run("dev", project=tmp_path)
    assert [resource for resource in flat.resources if not resource.custom] == []
    assert Counter((r.type, repr(r.inputs)) for r in flat.resources) == Counter(
        (r.type, repr(r.inputs)) for r in plan.resources if r.custom
    )


def test_what_depends_on_something_comes_behind_it(planned: Planned, tmp_path: Path) -> None:
    plan = planned("""
        z = random.RandomPet("z")
        a = random.RandomPet("a", prefix=z.id)
        random.RandomPet("m", opts=pulumi.ResourceOptions(depends_on=[a]))
    """)
    write_flat_project(plan, tmp_path / "flat")
    text = (tmp_path / "flat" / "__main__.py").read_text()
    assert text.index("'z-") < text.index("'a-") < text.index("'m-")
    names = {r.name.split("-")[0]: r for r in run("dev", project=tmp_path / "flat").resources}
    assert names["m"].dependencies == (names["a"].urn,)
    assert names["a"].dependencies == (names["z"].urn,)
