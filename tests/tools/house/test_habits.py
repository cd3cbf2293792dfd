"""Private names reached from outside are counted, and a statement that the formatter is told to leave is told."""

from __future__ import annotations

from tests.tools.house.conftest import MakeTree
from tools.house.__main__ import figures
from tools.house.habits import SKIP, mistakes, reached, skipped

PLAN = '[rooms."a"]\nwhat = "x"\nimports = []\n'
OWNER = (
    "class Pool:\n    def __init__(self): self._free = []\n    def other(self, pool): return "
    "pool._free\ndef _make(): ...\n"
)
USER = "from a.pool import Pool, _make\nfrom json import _default_decoder\nimport b\n_make()\nPool()._free\nb._theirs\n"


def test_a_private_name_is_reached_only_from_another_module(make_tree: MakeTree) -> None:
    tree = make_tree({"a/pool.py": OWNER, "a/user.py": USER})
    found = [(str(r.module.path), r.line, r.name, r.ours) for r in reached(tree.modules.values(), tree)]
    assert sorted(found) == [
        ("a/user.py", 1, "_make", True),
        ("a/user.py", 2, "_default_decoder", False),
        ("a/user.py", 5, "_free", True),
        ("a/user.py", 6, "_theirs", False),
    ]


def test_a_statement_that_is_left_unformatted_is_told_in_sources_and_tests(make_tree: MakeTree) -> None:
    line = f"x = [1]  {SKIP}\n"
    tree = make_tree({"a/m.py": "y = 1\n" + line, "tests/test_m.py": line, "a/text.py": f"TEXT = '{SKIP}'\n"})
    assert [(str(module.path), number) for module, number in skipped(tree)] == [("a/m.py", 2), ("tests/test_m.py", 1)]
    assert [text.partition(";")[0] for text in mistakes(tree)] == [
        "a/m.py:2: fmt: skip",
        "tests/test_m.py:1: fmt: skip",
    ]


def test_the_figures_count_both(make_tree: MakeTree) -> None:
    tree = make_tree({"docs/architecture.toml": PLAN, "a/pool.py": OWNER, "a/user.py": USER, "tests/test_m.py": USER})
    assert figures(tree).splitlines()[-2:] == [
        "2 private names of ours reached from outside in the sources, 2 in tests; 2 and 2 of others'",
        "0 times fmt: skip",
    ]
