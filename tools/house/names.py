"""Public names that nothing of ours uses outside tests: a function, class, constant, method or setting that could go.

Names are compared as words: one that is written anywhere else in the sources counts as used, whatever it belongs to. So
a finding is sure, and silence is not a proof.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tools.house.rooms import PLAN
from tools.house.tree import Module, Tree

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OTHER_SOURCES = {".j2", ".sql", ".yaml", ".toml", ".json", ".go", ""}
"""Files that may call a name of ours beside Python's: templates, the Makefile, policies' settings."""


@dataclass(frozen=True)
class Definition:
    """A public name and where it is defined."""

    module: Module
    line: int
    name: str
    kind: str


def unused(tree: Tree) -> Iterator[Definition]:
    """Public names without a use outside their own definition,
    tests apart, and apart from those that the plan excuses.
    """
    excused = set(tomllib.loads(tree.text(tree.root / PLAN)).get("found_by", {}))
    uses = _uses(tree)
    for module in tree.modules.values():
        for definition in _definitions(module):
            if definition.name not in uses and definition.name not in excused:
                yield definition


def stale_excuses(tree: Tree) -> Iterator[str]:
    """Names that the plan excuses and that are used, or are no more."""
    defined = {d.name for module in tree.modules.values() for d in _definitions(module)}
    uses = _uses(tree)
    for name in tomllib.loads(tree.text(tree.root / PLAN)).get("found_by", {}):
        if name not in defined:
            yield f"{PLAN}: [found_by] {name}: nothing has that name"
        elif name in uses:
            yield f"{PLAN}: [found_by] {name}: it is used by now"


def _uses(tree: Tree) -> Counter[str]:
    found: Counter[str] = Counter()
    for module in tree.modules.values():
        for node in ast.walk(module.syntax):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found[node.id] += 1
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                found[node.attr] += 1
            elif isinstance(node, ast.keyword) and node.arg and not module.path.match("topology/settings/*"):
                found[node.arg] += 1
            elif isinstance(node, ast.alias):
                found[node.name.rpartition(".")[2]] += _imported_use(module)
            elif isinstance(node, ast.MatchClass):
                found.update(node.kwd_attrs)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
                found[node.value] += 1  # getattr, a TypedDict's key, a forward reference
    for path in tree.files:
        if path.parts[0] not in {"tests", "docs"} and path.suffix in _OTHER_SOURCES and "requirements" not in path.name:
            found.update(_WORD.findall(tree.text(path)))
    return found


def _imported_use(module: Module) -> int:
    """An import is a use only in a package's face; elsewhere what is imported is used below, or ruff says so."""
    return 1 if module.path.name == "__init__.py" else 0


def _definitions(module: Module) -> Iterator[Definition]:
    for node in module.syntax.body:
        yield from _defined(module, node, "")
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                # A field is used by whoever writes or reads the JSON; a setting has to be read by the program.
                if module.path.parts[0] == "topology" or not isinstance(inner, ast.Assign | ast.AnnAssign):
                    yield from _defined(module, inner, node.name)


def _defined(module: Module, node: ast.stmt, owner: str) -> Iterator[Definition]:
    names: list[str] = []
    kind = "attribute" if owner else "constant"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        names, kind = [node.name], "method" if owner else "function"
    elif isinstance(node, ast.ClassDef):
        names, kind = [node.name], "class"
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        names = [node.target.id]
    for name in names:
        if not name.startswith("_"):
            yield Definition(module, node.lineno, name, kind)
