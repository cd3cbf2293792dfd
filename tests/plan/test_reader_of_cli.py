"""Our reader beside the Pulumi CLI's own (tools/config-reader): the same value, or a refusal in words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from plan.errors import ProjectError
from plan.project import SECURE, read_project
from tests.plan import traps
from tests.stackfiles import ROOT
from tools import build

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def cli() -> Path:
    """The CLI's reader."""
    try:
        return build.binary("config-reader")
    except build.GoMissing as missing:
        pytest.skip(f"{missing}: the CLI's own reader of stack files is not asked")


def _handed_over(cli: Path, paths: list[Path]) -> dict[str, dict[str, str] | None]:
    """What a program would get of each file by its path; None where the CLI refuses it."""
    done = subprocess.run([cli, *paths], capture_output=True, check=True)
    return {path: None if "refused" in said else said["config"] or {} for path, said in json.loads(done.stdout).items()}


def _ours(path: Path) -> Mapping[str, str] | None:
    try:
        return read_project(path.parent, "dev", path).config
    except ProjectError:  # what a refusal says is test_reader.py's
        return None


def _alike(one: str, other: str) -> bool:
    """Whether two texts are the same setting: equal, or the same JSON."""
    if one == other:
        return True
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def test_every_trap_is_read_as_the_cli_reads_it_or_refused(cli: Path, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: hal9\nruntime: python\n")
    names = {}
    for index, (name, content) in enumerate(traps.files().items()):
        path = tmp_path / f"trap-{index}.yaml"
        path.write_bytes(content)
        names[path] = name
    theirs = _handed_over(cli, list(names))
    wrong: dict[str, object] = {}
    taken = 0
    for path, name in names.items():
        ours = _ours(path)
        if ours is None:
            continue
        taken += 1
        expected = theirs[str(path)]
        if expected is None or ours.keys() != expected.keys():
            wrong[name] = (ours, expected)
        elif different := {
            key: (ours[key], expected[key])
            for key in ours
            if ours[key] != SECURE and not _alike(ours[key], expected[key])
        }:
            wrong[name] = (different, None)
    assert wrong == {}
    assert taken > len(names) / 2, "a reader that refuses everything would agree too"


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_our_own_stack_files_are_read_as_the_cli_reads_them(stack: str, cli: Path) -> None:
    path = ROOT / f"Pulumi.{stack}.yaml"
    ours, theirs = read_project(ROOT, stack).config, _handed_over(cli, [path])[str(path)]
    assert theirs is not None
    assert ours.keys() == theirs.keys()
    assert all(_alike(ours[key], theirs[key]) for key in ours)
