"""An import that the plan does not have is told with its line; so is a circle, and a permission that nothing uses."""

from __future__ import annotations

from tests.tools.house.conftest import MakeTree
from tools.house.rooms import circles, mistakes

PLAN = """
[rooms."model"]
what = "x"
imports = []
[rooms."view"]
what = "x"
imports = ["model"]
[rooms."view/top"]
what = "x"
files = ["top"]
imports = ["view"]
"""
GOOD = {
    "docs/architecture.toml": PLAN,
    "model/a.py": "x = 1\n",
    "view/b.py": "from model import a\n",
    "view/top.py": "from view import b\n",
}


def test_a_tree_that_keeps_to_its_plan_has_no_mistake(make_tree: MakeTree) -> None:
    assert list(mistakes(make_tree(GOOD))) == []


def test_an_arrow_up_is_told_with_its_line_and_with_what_is_allowed(make_tree: MakeTree) -> None:
    tree = make_tree({**GOOD, "model/a.py": "x = 1\ndef f():\n    from view import b\n"})
    first, *rest = mistakes(tree)
    assert first == (
        "model/a.py:3: model may not import view (view/b.py); model may import nothing: docs/architecture.toml"
    )
    assert rest == ["modules import each other in a circle: model.a, view.b"]


def test_a_file_is_in_the_room_that_names_it_and_not_in_its_folders(make_tree: MakeTree) -> None:
    tree = make_tree({**GOOD, "view/b.py": "from model import a\nfrom view import top\n"})
    assert any("view/b.py:2: view may not import view/top" in mistake for mistake in mistakes(tree))


def test_a_module_in_no_room_is_told(make_tree: MakeTree) -> None:
    assert "attic/z.py: in no room of docs/architecture.toml" in list(mistakes(make_tree({**GOOD, "attic/z.py": ""})))


def test_a_permission_that_nothing_uses_is_told(make_tree: MakeTree) -> None:
    tree = make_tree({**GOOD, "view/b.py": "\n"})
    assert "docs/architecture.toml: view may import model, and does not" in list(mistakes(tree))


def test_circles_are_the_parts_that_reach_each_other() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"e"}}) == [["a", "b", "c"]]
