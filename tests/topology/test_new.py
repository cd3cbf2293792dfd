"""`make init` writes a stack file that passes, or says what is wrong and writes nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from plan.project import read_project
from tests.stackfiles import ROOT
from topology import new
from topology.load import of_config
from topology.stackfile import StackFileError

ANSWERS = new.Answers(
    stack="staging",
    account="012345678901",
    owner="platform",
    domain="staging.example.org",
    email="oncall@example.org",
    issuer="https://id.example.org",
    regions=("us-west-2", "eu-central-1"),
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "policies").mkdir()
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    return tmp_path


@pytest.mark.parametrize(
    "regions", [("us-east-1",), ("us-west-2", "eu-central-1", "ap-south-1"), ("eu-west-1", "eu-west-2", "eu-west-3")]
)
def test_what_is_written_passes_every_rule(regions: tuple[str, ...], directory: Path) -> None:
    file, policies = new.write(dataclasses.replace(ANSWERS, regions=regions), directory)
    project = read_project(directory, "staging")
    read = of_config("staging", project.config, project.secret_keys)
    assert [region.aws_region for region in read.ordered_regions] == list(regions)
    assert read.account_id == ANSWERS.account
    assert file.name == "Pulumi.staging.yaml"
    assert (json.loads(policies.read_text()) == {}) is (len(regions) > 1)


def test_a_mistake_is_told_and_nothing_is_written(directory: Path) -> None:
    with pytest.raises(StackFileError, match="did you mean hal9"):
        new.write(dataclasses.replace(ANSWERS, domain="HAL9.AI"), directory)
    assert not list(directory.glob("Pulumi.*.yaml"))


def test_a_file_that_is_there_is_not_written_over(directory: Path) -> None:
    new.write(ANSWERS, directory)
    with pytest.raises(FileExistsError):
        new.write(ANSWERS, directory)


def test_what_is_not_given_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        raise EOFError

    assert new.main(["--stack", "staging"], ask) == 130
    assert asked == [f"{new.QUESTIONS['account']}: "]
    assert "nothing was written" in capsys.readouterr().err


def test_where_nobody_can_be_asked_what_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    assert new.main(["--stack", "staging"]) == 2
    assert "--account" in capsys.readouterr().err
