"""`pulumi up` of a stack asks what it recorded itself, before anything changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import EngineOn
from tests.engine.engine import Engine, copy_of_repository
from topology.record import MODEL

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

UP = ("up", "--yes", "--skip-preview")
PROGRAM = """
import pulumi
import pulumi_random as random
from topology.load import load
from topology.record import OUTPUT, record
from topology.standing import check

topology = load()
check(topology)
random.RandomId("made", byte_length=8, keepers={"domain": topology.domain})
pulumi.export(OUTPUT, record(topology))
"""


@pytest.fixture
def standing(engine_on: EngineOn, tmp_path: Path) -> Engine:
    """Prod's stack file under a program that only records it, gone up once."""
    project = copy_of_repository(tmp_path)
    (project / "__main__.py").write_text(PROGRAM)
    engine = engine_on(project, "prod")
    engine.run(*UP)
    return engine


def put(engine: Engine, **settings: Any) -> None:
    engine.edit(lambda stack_file: stack_file["config"].update({f"hal9:{name}": v for name, v in settings.items()}))


def test_the_same_again_is_a_step(standing: Engine) -> None:
    assert set(standing.run(*UP).changes) == {"same"}


def test_what_is_no_step_is_refused_before_anything_changes_in_the_preview_too(standing: Engine) -> None:
    put(standing, domain="hal9.example")
    for command in (UP, ("preview",)):
        done = standing.run(*command, check=False)
        assert done.status
        assert "Pulumi.prod.yaml: 1 edit is no step from what stands; nothing was changed." in done.output
        assert "hal9:domain: hal9.ai becomes hal9.example" in done.output
        assert "Traceback" not in done.output
        assert not [one for one in done.operations if one.kind != "read"]


def test_an_edit_with_a_reason_is_made_once_and_said(standing: Engine) -> None:
    accepted = [{"stack": "prod", "path": "domain", "reason": "the brand has a new name, HAL-88"}]
    put(standing, domain="hal9.example", accepted=accepted)
    assert "Accepted: the brand has a new name, HAL-88" in standing.run(*UP).output
    assert set(standing.run(*UP).changes) == {"same"}
    put(standing, domain="hal9.example.org")
    assert "no step" in standing.run(*UP, check=False).output


def test_a_reason_for_another_stack_lets_nothing_through(standing: Engine) -> None:
    put(standing, domain="hal9.example", accepted=[{"stack": "dev", "path": "domain", "reason": "HAL-88"}])
    assert "no step" in standing.run(*UP, check=False).output


def test_a_record_of_another_model_stops_the_up_until_somebody_says_why_not(standing: Engine) -> None:
    program = standing.project / "__main__.py"
    program.write_text(PROGRAM.replace("record(topology))", f"{{**record(topology), 'model': {MODEL + 1}}})"))
    standing.run(*UP)
    program.write_text(PROGRAM)
    done = standing.run(*UP, check=False)
    assert done.status
    assert f"it was recorded by version {MODEL + 1} of the model, and this is version {MODEL}" in done.output
    assert "Traceback" not in done.output
    put(standing, accepted=[{"stack": "prod", "path": "topology", "reason": "read by two people"}])
    assert "Accepted: read by two people" in standing.run(*UP).output
