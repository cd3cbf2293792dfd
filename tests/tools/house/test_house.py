"""The tree is as docs/architecture.toml plans it, in every respect that tools/house can see."""

from __future__ import annotations

from tools.house.__main__ import mistakes
from tools.house.tree import Tree


def test_the_house_is_as_its_plan_says() -> None:
    assert list(mistakes(Tree())) == []


def test_at_most_fourteen_files_stand_at_the_apps_top() -> None:
    top = [
        module for module in Tree().modules.values() if module.path.parent.name == "app" and len(module.path.parts) == 2
    ]
    assert len(top) <= 14
