"""Pulumi.yaml and stack files, read as the CLI reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plan import ProjectError
from plan.project import read_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: sample\nruntime: python\n")
    return tmp_path


def config(project: Path, text: str) -> dict[str, str]:
    (project / "Pulumi.dev.yaml").write_text(text)
    return dict(read_project(project, "dev").config)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("text", "text"),
        ("3", "3"),
        ("0.5", "0.5"),
        ("true", "true"),
        ("NO", "NO"),
        ("on", "on"),
        ("12:30", "12:30"),
        ('"012345678901"', "012345678901"),
        ("2026-01-01", "2026-01-01 00:00:00 +0000 UTC"),
        ("1e2", "100"),
        ("10.0", "10"),
        ("~", ""),
        ("[1, a]", '[1, "a"]'),
        ("{a: {b: [DE, NO]}}", '{"a": {"b": ["DE", "NO"]}}'),
        ("{1: x}", '{"1": "x"}'),
    ],
)
def test_a_value_is_read_as_the_cli_reads_it(project: Path, written: str, read: str) -> None:
    assert config(project, f"config:\n  hal9:a: {written}\n") == {"hal9:a": read}


def test_the_projects_defaults_are_behind_the_stacks_values(project: Path) -> None:
    (project / "Pulumi.yaml").write_text("name: sample\nconfig: {a: 1, b: {default: 2}, 'x:c': {value: 3}}\n")
    assert config(project, "config: {'sample:b': 4}") == {"sample:a": "1", "sample:b": "4", "x:c": "3"}


def test_an_empty_stack_file_is_one(project: Path) -> None:
    assert config(project, "") == {}


def test_secure_values_are_named_and_not_read(project: Path) -> None:
    (project / "Pulumi.dev.yaml").write_text(
        "config:\n  sample:a: {secure: v1:x}\n  sample:b: {c: [{secure: v1:y}]}\n  sample:d: e\n"
    )
    found = read_project(project, "dev")
    assert found.secret_keys == ("sample:a", "sample:b")
    assert found.config == {"sample:a": "[secret]", "sample:b": '{"c": ["[secret]"]}', "sample:d": "e"}


def message(project: Path, stack: str = "dev", source: Any = None) -> str:
    with pytest.raises(ProjectError) as caught:
        read_project(project, stack, source)
    return str(caught.value)


def test_an_unknown_stack_says_which_there_are(project: Path) -> None:
    for stack in ("prod", "dev"):
        (project / f"Pulumi.{stack}.yaml").write_text("")
    assert message(project, "prd") == (
        "There is no stack 'prd': Pulumi.prd.yaml does not exist. The stacks here: dev and prod."
    )


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    assert message(tmp_path).endswith("it is no Pulumi project.")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("config:\n  a: [1, 2\n", "Pulumi.dev.yaml:3:1 is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("config:\n  a: b: c\n", "Pulumi.dev.yaml:2:7 is not YAML: mapping values are not allowed here"),
        ("config:\n  a: 1\n  b: 2\n  a: 3\n", "Pulumi.dev.yaml:4:3 cannot be used: config: the key a is there twice"),
        ("config:\n\ta: 1\n", "Pulumi.dev.yaml:2:1 is not YAML: found character '\\t' that cannot start any token"),
        ("- a\n", "Pulumi.dev.yaml must be a map at its top"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(project: Path, text: str, told: str) -> None:
    (project / "Pulumi.dev.yaml").write_text(text)
    assert message(project) == told


def test_another_stack_file_takes_the_place_of_the_stacks_own(project: Path) -> None:
    (project / "Pulumi.dev.yaml").write_text("config: {'sample:a': own}")
    (project / "other.yaml").write_text("config: {'sample:a': other}")
    assert read_project(project, "dev", project / "other.yaml").config == {"sample:a": "other"}
    assert read_project(project, "dev", {"config": {"sample:a": "data"}}).config == {"sample:a": "data"}


def test_a_stack_file_that_is_not_there_is_told(project: Path) -> None:
    assert message(project, source=project / "gone.yaml").endswith(
        "gone.yaml cannot be read: No such file or directory"
    )


def test_a_wrong_list_of_default_providers_is_told(project: Path) -> None:
    (project / "Pulumi.dev.yaml").write_text("config: {'pulumi:disable-default-providers': aws}")
    assert message(project) == (
        "pulumi:disable-default-providers must be a list of packages, such as [aws, kubernetes]"
    )
