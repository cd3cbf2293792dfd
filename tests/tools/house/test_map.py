"""The map of the architecture document is what the tree and its plan say."""

from __future__ import annotations

import pytest

from tests.tools.house.conftest import MakeTree
from tools.house.map import NoPlace, drawn

COMPONENT = 'class Net(pulumi.ComponentResource):\n    """One network,\n    whole.\n\n    More.\n    """\n'
FILES = {
    "docs/architecture.toml": '[rooms."components"]\nwhat = "resources"\nimports = []\n',
    "components/net.py": COMPONENT,
}


def test_rooms_and_components_are_drawn_between_the_marks_alone(make_tree: MakeTree) -> None:
    text = "before\n<!-- drawn by `make map` -->\nold\n<!-- end of what `make map` draws -->\nafter\n"
    lines = drawn(make_tree({**FILES, "docs/architecture.md": text})).splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "| `components` | resources | nothing of ours |" in lines
    assert "| `net.py` | Net | One network, whole. |" in lines
    assert "old" not in lines


def test_a_document_without_a_place_for_it_is_told(make_tree: MakeTree) -> None:
    with pytest.raises(NoPlace, match="lacks the lines"):
        drawn(make_tree({**FILES, "docs/architecture.md": "nothing\n"}))
