"""Small trees to hold against small plans."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tools.house.tree import Tree

MakeTree = Callable[[Mapping[str, str]], Tree]


@pytest.fixture
def make_tree(tmp_path: Path) -> MakeTree:
    """A checkout with these files."""

    def make(files: Mapping[str, str]) -> Tree:
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Tree(tmp_path)

    return make
