"""The rooms of docs/architecture.toml, the imports between them, and where the tree does not keep to the plan."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from tools.house.tree import Module, Tree

PLAN = PurePosixPath("docs/architecture.toml")


@dataclass(frozen=True)
class Room:
    """One room of the plan; the fields are described in the file. `folder` is where its files are."""

    name: str
    what: str
    imports: tuple[str, ...]
    files: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The folder: a room that is named after some files of one stands in the folder above."""
        return self.name.rpartition("/")[0] if self.files and "/" in self.name else self.name


@dataclass(frozen=True)
class Arrow:
    """One import: the module that says it, where, and the module that it names."""

    source: Module
    line: int
    target: Module


def plan(tree: Tree) -> dict[str, Room]:
    """The rooms by name."""
    rows: Mapping[str, Mapping[str, object]] = tomllib.loads(tree.text(tree.root / PLAN))["rooms"]
    return {
        name: Room(name, str(row["what"]), _names(row["imports"]), _names(row.get("files", ())))
        for name, row in rows.items()
    }


def _names(value: object) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def room_of(module: Module, rooms: Mapping[str, Room]) -> str | None:
    """The name of the room that a module is in: the one with the longest path. None where it is in none."""
    path = module.path.with_suffix("")
    best: tuple[int, str] | None = None
    for room in rooms.values():
        if room.files:
            fits = str(path.parent) == room.folder and path.name in {
                *room.files,
                *(("__init__",) if room.folder == room.name else ()),
            }
            length = len(room.folder) + 1
        else:
            fits = str(path) == room.name or str(path).startswith(f"{room.name}/")
            length = len(room.name)
        if fits and (best is None or length > best[0]):
            best = (length, room.name)
    return best[1] if best else None


def arrows(tree: Tree) -> Iterator[Arrow]:
    """Every import of one module of ours by another, those inside functions too."""
    for module in tree.modules.values():
        for node in ast.walk(module.syntax):
            for name in _imported(node, tree):
                if name in tree.modules and name != module.name:
                    yield Arrow(module, node.lineno, tree.modules[name])  # type: ignore[attr-defined]


def _imported(node: ast.AST, tree: Tree) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in tree.modules else node.module for name in inner]
    return []


def mistakes(tree: Tree) -> Iterator[str]:
    """Every module without a room, every import that the plan does not have, every circle: a sentence each."""
    rooms = plan(tree)
    yield from _strangers(tree, rooms)
    used: dict[str, set[str]] = {name: set() for name in rooms}
    for arrow in arrows(tree):
        source, target = room_of(arrow.source, rooms), room_of(arrow.target, rooms)
        if source is None or target is None or source == target:
            continue
        used[source].add(target)
        if target not in rooms[source].imports:
            yield (
                f"{arrow.source.path}:{arrow.line}: {source} may not import {target} ({arrow.target.path}); "
                f"{source} may import {', '.join(rooms[source].imports) or 'nothing'}: {PLAN}"
            )
    for name, room in rooms.items():
        for other in room.imports:
            if other in rooms and other not in used[name]:
                yield f"{PLAN}: {name} may import {other}, and does not"
    for circle in circles_of(tree):
        yield f"modules import each other in a circle: {', '.join(circle)}"
    for circle in circles({name: set(room.imports) for name, room in rooms.items()}):
        yield f"{PLAN}: rooms may import each other in a circle: {', '.join(circle)}"


def _strangers(tree: Tree, rooms: dict[str, Room]) -> Iterator[str]:
    """What is named and is no room, and modules that are in none."""
    for room in rooms.values():
        for other in room.imports:
            if other not in rooms:
                yield f"{PLAN}: {room.name} may import {other}, which is no room"
    for module in tree.modules.values():
        if room_of(module, rooms) is None:
            yield f"{module.path}: in no room of {PLAN}"


def circles_of(tree: Tree) -> list[list[str]]:
    """The modules that import each other in a circle."""
    return circles(_graph(tree))


def _graph(tree: Tree) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for arrow in arrows(tree):
        # A package's face and its modules are one: Python runs the face first whatever is imported.
        if not arrow.target.name.startswith(f"{arrow.source.name}.") and not arrow.source.name.startswith(
            f"{arrow.target.name}."
        ):
            graph.setdefault(arrow.source.name, set()).add(arrow.target.name)
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected parts of more than one node (Tarjan, SIAM J. Comput. 1, 1972), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            cut = stack.index(node)
            part = stack[cut:]
            del stack[cut:]
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found
