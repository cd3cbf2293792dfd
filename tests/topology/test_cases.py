"""Stack files that nobody here wrote: 110 with a mistake, each refused at its path, and 60 that must be planned."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from plan.errors import ProjectError
from plan.project import read_project
from plan.reader import read_yaml
from tests.stackfiles import ROOT
from topology.load import of_config
from topology.stackfile import StackFileError

GONE = "!gone"


class _Loader(yaml.SafeLoader):
    """YAML with `!gone`."""


_Loader.add_constructor(GONE, lambda _loader, _node: GONE)


def cases_of(path: Path) -> dict[str, dict[str, Any]]:
    """The cases of a file, by name."""
    cases: dict[str, dict[str, Any]] = yaml.load(path.read_text(), _Loader)
    return cases


CASES = Path(__file__).with_name("cases")
MISTAKES, VARIANTS = cases_of(CASES / "mistakes.yaml"), cases_of(CASES / "variants.yaml")
PROD = read_yaml(ROOT / "Pulumi.prod.yaml")


def stack_file(changes: dict[str, Any]) -> dict[str, Any]:
    """Prod's stack file with changes by path."""
    data = copy.deepcopy(PROD)
    for path, value in changes.items():
        *parents, last = path.split("/")
        holder: Any = data["config"]
        for part in parents:
            holder = holder[int(part)] if isinstance(holder, list) else holder.setdefault(part, {})
        if value == GONE:
            holder.pop(last, None)
        elif isinstance(holder, list):
            holder[int(last) : int(last) + 1] = [value]
        else:
            holder[last] = value
    return data


def refusal(changes: dict[str, Any], directory: Path) -> str:
    """What is said of a changed stack file; empty where it is taken."""
    path = directory / "Pulumi.prod.yaml"
    path.write_text(yaml.safe_dump(stack_file(changes), allow_unicode=True, sort_keys=False, width=10**6))
    try:
        project = read_project(ROOT, "prod", path)
        of_config("prod", project.config, project.secret_keys)
    except (ProjectError, StackFileError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("case", [name for name, case in MISTAKES.items() if "names" in case])
def test_a_mistake_is_refused_at_its_path(case: str, tmp_path: Path) -> None:
    said = refusal(MISTAKES[case]["set"], tmp_path)
    names = MISTAKES[case]["names"]
    for path in [names] if isinstance(names, str) else names:
        assert path in said
    assert "XYZZY" not in said, "what may be a secret is not echoed"
    assert all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize("case", [name for name, case in MISTAKES.items() if "taken" in case])
def test_what_only_looks_like_a_mistake_is_taken(case: str, tmp_path: Path) -> None:
    assert refusal(MISTAKES[case]["set"], tmp_path) == ""


@pytest.mark.parametrize("case", VARIANTS)
def test_a_variant_is_taken_unless_it_cannot_be(case: str, tmp_path: Path) -> None:
    said = refusal(VARIANTS[case]["set"], tmp_path)
    if "names" in VARIANTS[case]:
        assert VARIANTS[case]["names"] in said
    else:
        assert said == ""
