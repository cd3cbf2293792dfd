"""The packages that the `requirements*.in` files name, and those that the decisions give a reason for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tools.house.tree import Tree

REASONS = Path("docs/decisions/dependencies.md")
_REQUIREMENT = re.compile(r"^([A-Za-z0-9][\w.-]*)", re.MULTILINE)
_ROW = re.compile(r"^\| ([\w.-]+) \|", re.MULTILINE)


def mistakes(tree: Tree) -> Iterator[str]:
    """Each package without a row, and each row without a package: a sentence each."""
    named = {
        name.lower(): path
        for path in tree.files
        if path.suffix == ".in" and path.name.startswith("requirements")
        for name in _REQUIREMENT.findall(tree.text(path))
    }
    reasons = {name.lower() for name in _ROW.findall(tree.text(REASONS))} - {"name"}
    for name in sorted(set(named) - reasons):
        yield f"{named[name]}: {name} has no row in {REASONS} that says why it was chosen"
    for name in sorted(reasons - set(named)):
        yield f"{REASONS}: {name} is in no requirements file"
