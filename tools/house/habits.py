"""Habits that can be counted: private names reached from outside, and lines that the formatter is told to leave."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tools.house.tree import Module, Tree

SKIP = "# fmt: " + "skip"
"""What keeps the formatter away from a statement; written so that this file has none."""


@dataclass(frozen=True)
class Reach:
    """A private name used in a module that does not define it. `ours` says whether any module of ours does."""

    module: Module
    line: int
    name: str
    ours: bool


def reached(modules: Iterable[Module], tree: Tree) -> Iterator[Reach]:
    """Every private name that these modules reach from outside: `other._name`, `from other import _name`.

    An attribute is ours where any module of ours gives that name to something: a namesake of another's counts as well.
    """
    every = {**tree.modules, **tree.tests}
    ours = {name for module in every.values() for name in _defined(module)}
    for module in modules:
        here = _defined(module)
        for node in ast.walk(module.syntax):
            if (
                isinstance(node, ast.Attribute)
                and _is_private(node.attr)
                and not _is_own(node)
                and node.attr not in here
            ):
                yield Reach(module, node.lineno, node.attr, node.attr in ours)
            elif isinstance(node, ast.ImportFrom):
                for alias in filter(lambda one: _is_private(one.name), node.names):
                    yield Reach(module, node.lineno, alias.name, node.module in every)


def skipped(tree: Tree) -> Iterator[tuple[Module, int]]:
    """Every statement that the formatter is told to leave, with its line."""
    for module in (*tree.modules.values(), *tree.tests.values()):
        for number, line in enumerate(module.source.splitlines(), 1):
            if line.rstrip().endswith(SKIP):
                yield module, number


def mistakes(tree: Tree) -> Iterator[str]:
    """Statements left unformatted: a sentence each."""
    for module, line in skipped(tree):
        yield f"{module.path}:{line}: {SKIP[2:]}; name the arguments, or make the data a table, until it reads well"


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name != "_"


def _defined(module: Module) -> set[str]:
    """The private names that a module gives to functions, classes, variables and attributes."""
    found: set[str] = set()
    for node in ast.walk(module.syntax):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node):
            found.add(node.attr)
    return set(filter(_is_private, found))


def _is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
