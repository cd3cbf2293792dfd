"""A public name that only tests use is told."""

from __future__ import annotations

from tests.tools.house.conftest import MakeTree
from tools.house.names import stale_excuses, unused

PLAN = '[rooms."a"]\nwhat = "x"\nimports = []\n[found_by]\nhook = "a library"\n'
SOURCE = "def used(): ...\ndef hook(): ...\ndef forgotten(): ...\ndef _private(): ...\n\nused()\n"


def test_only_what_nothing_uses_is_told(make_tree: MakeTree) -> None:
    tree = make_tree(
        {
            "docs/architecture.toml": PLAN,
            "a/m.py": SOURCE,
            "tests/test_m.py": "from a.m import forgotten\nforgotten()\n",
        }
    )
    assert [(d.name, d.line, d.kind) for d in unused(tree)] == [("forgotten", 3, "function")]


def test_a_setting_that_no_code_reads_is_told(make_tree: MakeTree) -> None:
    model = "class Pools:\n    size: int = 1\n    never: int = 2\n\nprint(Pools().size)\n"
    tree = make_tree({"docs/architecture.toml": PLAN, "topology/settings/p.py": model})
    assert [d.name for d in unused(tree)] == ["never"]


def test_an_excuse_that_is_needed_no_more_is_told(make_tree: MakeTree) -> None:
    tree = make_tree({"docs/architecture.toml": PLAN, "a/m.py": "def hook(): ...\n\nhook()\n"})
    assert list(stale_excuses(tree)) == ["docs/architecture.toml: [found_by] hook: it is used by now"]
