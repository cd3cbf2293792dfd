"""What a change is told from, and what is none: one sentence, status 2, nothing assumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from diff.__main__ import WRONG, main
from diff.bases import plan_of
from plan.export import to_json
from plan.record import Plan, Resource
from plan.values import Secret, Unknown
from tests.stackfiles import topology
from tests.topology.test_cases import stack_file
from topology.record import MODEL, record


def asked(base: object, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a base that is none."""
    assert main(["--stack", "prod", "--base", str(base)]) == WRONG
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1
    return said.err.strip()


def test_a_base_that_is_neither_file_nor_revision_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked("no-such-thing", capsys) == "'no-such-thing' is neither a file nor a git revision of this repository"


def test_a_base_that_does_not_parse_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken, wrong = tmp_path / "broken.yaml", tmp_path / "wrong.yaml"
    broken.write_text("config: [")
    wrong.write_text("config:\n  hal9:owner: x\n")
    assert asked(broken, capsys).startswith("broken.yaml")
    assert "is no valid base: hal9:" in asked(wrong, capsys)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "is no JSON"),
        ("{}", "it is no record of a topology"),
        (json.dumps({"topology": {"model": MODEL + 1, "stack": "prod", "settings": {}}}), f"by version {MODEL + 1} of"),
        (json.dumps({"model": MODEL, "stack": "prod", "settings": {"owner": 1}}), "this version of the model does not"),
    ],
)
def test_a_record_that_cannot_be_read_is_told(
    content: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "record.json"
    path.write_text(content)
    assert said in asked(path, capsys)


def test_a_record_of_another_stack_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"topology": record(topology("dev"))}))
    assert "is the record of the stack dev, and the change is of prod" in asked(path, capsys)


def test_a_stack_file_with_a_mistake_is_told_with_the_edits_that_are_no_steps_either(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Pulumi.prod.yaml"
    homes = {"hal9:shards/0/home": "eu-central", "hal9:shards/1/home": "us-west", "hal9:domain": "hal9.example"}
    path.write_text(yaml.safe_dump(stack_file({**homes, "hal9:regions/us-west/cidr": "8.8.0.0/16"})))
    accept = ["--accept", "prod/domain: a new name"]
    assert main(["--stack", "prod", "--base", "Pulumi.prod.yaml", "--config", str(path), *accept]) == WRONG
    said = capsys.readouterr().err
    assert "8.8.0.0/16 is not private" in said
    assert "No step either: hal9:shards[0].home: us-west becomes eu-central" in said
    assert "hal9:domain" not in said


def test_a_plan_is_the_same_after_its_way_through_json() -> None:
    one = Resource(
        urn="u",
        type="t:t:T",
        name="n",
        parent="",
        custom=True,
        protect=True,
        dependencies=("d",),
        inputs={"a": Unknown(), "b": [Secret(), 1], "c": {"d": None}},
        property_dependencies={"a": ("u",)},
        ignore_changes=("x",),
        retain_on_delete=True,
    )
    plan = Plan("hal9", "prod", (one,), {"o": Unknown()})
    assert plan_of(json.loads(to_json(plan))) == plan
