"""docs/architecture.md's map, drawn from the plan and the tree: the rooms, and each component with what it builds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tools.house import rooms
from tools.house.tree import Module, Tree

DOCUMENT = Path("docs/architecture.md")
_BEGIN, _END = "<!-- drawn by `make map` -->", "<!-- end of what `make map` draws -->"
_BETWEEN = re.compile(re.escape(_BEGIN) + ".*?" + re.escape(_END), re.DOTALL)


class NoPlace(Exception):
    """The document has no marks between which the map stands."""


def drawn(tree: Tree) -> str:
    """The whole document with its map as it should be. NoPlace where its marks are gone."""
    text = tree.text(DOCUMENT)
    if not _BETWEEN.search(text):
        raise NoPlace(f"{DOCUMENT} lacks the lines {_BEGIN!r} and {_END!r}, between which the map stands")
    return _BETWEEN.sub(lambda _: "\n".join([_BEGIN, "", *_rooms(tree), "", *_components(tree), "", _END]), text)


def _rooms(tree: Tree) -> Iterator[str]:
    plan = rooms.plan(tree)
    yield "| room | what is in it | may import |"
    yield "|---|---|---|"
    for room in plan.values():
        files = f" ({', '.join(f'`{file}`' for file in room.files)})" if room.files else ""
        imports = ", ".join(f"`{name}`" for name in room.imports) or "nothing of ours"
        yield f"| `{room.name}` | {room.what}{files} | {imports} |"


def _components(tree: Tree) -> Iterator[str]:
    yield "| file in `components/` | class | what it builds |"
    yield "|---|---|---|"
    for module in tree.modules.values():
        if module.path.parent == Path("components") and module.path.name != "__init__.py":
            classes = list(_resources(module))
            for node in classes:
                yield f"| `{module.path.name}` | {node.name} | {_first(ast.get_docstring(node))} |"
            if not classes:
                yield f"| `{module.path.name}` | | {_first(ast.get_docstring(module.syntax))} |"


def _resources(module: Module) -> Iterator[ast.ClassDef]:
    for node in module.syntax.body:
        if isinstance(node, ast.ClassDef) and any(
            ast.unparse(base).endswith("ComponentResource") for base in node.bases
        ):
            yield node


def _first(docstring: str | None) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((docstring or "").split("\n\n")[0].split())
