"""Documents and docstrings that name what is not there are told, by line."""

from __future__ import annotations

import pytest

from tests.tools.house.conftest import MakeTree
from tools.house.references import References

FILES = {
    "docs/architecture.toml": '[rooms."a"]\nwhat = "x"\nimports = []\n[foreign]\npg_monitor = "PostgreSQL"\n',
    "Makefile": "test: a\n\tx\n",
    "a/m.py": "def take_over(): ...\n",
    "a/run/__main__.py": "\n",
}


@pytest.mark.parametrize(
    "text",
    [
        "See a/m.py and m.py.",
        "`make test`",
        "make sure of it",
        "`take_over()`",
        "`m.take_over`",
        "python -m a.run",
        "`pg_monitor`",
        "`takeOver`",
    ],
)
def test_what_is_there_is_not_told(text: str, make_tree: MakeTree) -> None:
    assert list(References(make_tree({**FILES, "docs/x.md": f"# x\n{text}\n"})).missing()) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("See a/n.py.", "no file is called a/n.py"),
        ("`make tset`", "make has no target tset"),
        ("Then `make tset STACK=prod`.", "make has no target tset"),
        ("`take_under()`", "nothing is called take_under"),
        ("python -m a.m.n", "python -m a.m.n does not run"),
        ("python -m a", "python -m a does not run"),
    ],
)
def test_what_is_not_there_is_told_with_its_line(text: str, what: str, make_tree: MakeTree) -> None:
    found = list(References(make_tree({**FILES, "docs/x.md": f"# x\n{text}\n"})).missing())
    assert [str(missing) for missing in found] == [f"docs/x.md:2: {what}"]


def test_a_block_of_code_is_read_as_commands(make_tree: MakeTree) -> None:
    tree = make_tree({**FILES, "docs/x.md": "# x\n```\nmake tset STACK=prod\n```\n"})
    assert [str(missing) for missing in References(tree).missing()] == ["docs/x.md:3: make has no target tset"]


def test_docstrings_are_read_as_documents_are(make_tree: MakeTree) -> None:
    tree = make_tree({**FILES, "a/o.py": '"""One.\n\nAs `take_under` does.\n"""\n'})
    assert [str(missing) for missing in References(tree).missing()] == ["a/o.py:3: nothing is called take_under"]
