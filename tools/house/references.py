"""What documents and docstrings speak of and what is not there:
paths, `make` targets, modules to run, backticked names.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic.alias_generators import to_camel

from tools.house.rooms import PLAN
from tools.house.tree import Tree

_BACKTICKED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"(?<![\w/.*<-])(?:\.\./)*((?:[\w.-]+/)*[\w.-]+\.(?:py|md|toml|yaml|sql|j2|go|sh))(?![\w/(])")
_MAKE = re.compile(r"(?<![\w/])make ([a-z][a-z0-9-]*)")
_MODULE = re.compile(r"python3? -m ([a-z_][\w.]*)")
_NAME = re.compile(r"_?[a-z][a-z0-9]*(?:_[a-z0-9]+)+|[A-Za-z][a-z0-9]+(?:[A-Z][a-z0-9]+)+")
"""A name that can only be a program's: snake_case or camelCase of two words or more."""
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLACEHOLDER = re.compile(r"(?:^|[/_.-])[A-Z]{2,}(?=[/_.-])")
"""A part of a path that stands for any: `tests/components/test_NAME.py`."""
_GENERATED = {"docs/policies.md", "docs/checkov.md"}
_FOREIGN = {"pip", "venv", "pytest", "mypy", "ruff", "build"}
"""Modules of others that are run by name."""


@dataclass(frozen=True)
class Missing:
    """Something that a text names and that is not there."""

    path: Path
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


class References:
    """Asks a tree's texts: Markdown documents whole, Python's docstrings and comments."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def missing(self) -> Iterator[Missing]:
        """Everything that is named and not there."""
        for path, line, text, code in self._texts():
            yield from self._paths(path, line, text)
            yield from self._commands(path, line, text, code)
            if not code:
                yield from self._names(path, line, text)

    def _texts(self) -> Iterator[tuple[Path, int, str, bool]]:
        """File, line, one line's text, whether it is in a block of code."""
        for path in self._tree.files:
            if path.suffix == ".md" and str(path) not in _GENERATED and path.name != "CHANGELOG.md":
                text = self._tree.text(path)
                blocks = [text.count("\n", 0, m.start()) + 1 for m in _FENCED.finditer(text)]
                ends = [text.count("\n", 0, m.end()) + 1 for m in _FENCED.finditer(text)]
                for number, line in enumerate(text.splitlines(), 1):
                    yield path, number, line, any(a <= number <= b for a, b in zip(blocks, ends, strict=True))
        for module in (*self._tree.modules.values(), *self._tree.tests.values()):
            for node in ast.walk(module.syntax):
                if (
                    isinstance(node, ast.Expr)
                    and isinstance(node.value, ast.Constant)
                    and isinstance(node.value.value, str)
                ):
                    for number, line in enumerate(node.value.value.splitlines(), node.lineno):
                        yield module.path, number, line, False

    def _paths(self, path: Path, line: int, text: str) -> Iterator[Missing]:
        for found in _PATH.findall(text):
            if (
                not _PLACEHOLDER.search(found)
                and found not in self._known
                and not any(known.endswith(f"/{found}") for known in self._known)
            ):
                yield Missing(path, line, f"no file is called {found}")

    def _commands(self, path: Path, line: int, text: str, fenced: bool) -> Iterator[Missing]:
        commands = [text] if fenced else _BACKTICKED.findall(text)
        for target in (target for command in commands for target in _MAKE.findall(command)):
            if target not in self._targets:
                yield Missing(path, line, f"make has no target {target}")
        for module in _MODULE.findall(text):
            if module.partition(".")[0] not in _FOREIGN and not self._runs(module):
                yield Missing(path, line, f"python -m {module} does not run")

    def _runs(self, module: str) -> bool:
        known = self._tree.modules | self._tree.tests
        return f"{module}.__main__" in known or (module in known and known[module].path.name != "__init__.py")

    def _names(self, path: Path, line: int, text: str) -> Iterator[Missing]:
        for quoted in _BACKTICKED.findall(text):
            for name in quoted.rstrip("()").split("."):
                if _NAME.fullmatch(name) and name not in self._words:
                    yield Missing(path, line, f"nothing is called {name}")

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(str(path) for path in self._tree.files) | self._foreign

    @cached_property
    def _foreign(self) -> frozenset[str]:
        return frozenset(tomllib.loads(self._tree.text(Path(PLAN))).get("foreign", {}))

    @cached_property
    def _targets(self) -> frozenset[str]:
        return frozenset(re.findall(r"^([a-z][a-z0-9-]*):", self._tree.text(Path("Makefile")), re.MULTILINE))

    @cached_property
    def _words(self) -> frozenset[str]:
        """Every word of every file that is no document, and of code alone where it is Python."""
        found: set[str] = set(self._foreign)
        for path in self._tree.files:
            if path.suffix not in {".md", ".png", ".sum"} and "requirements" not in path.name:
                found.update(_WORD.findall(self._tree.text(path)) if path.suffix != ".py" else ())
        for module in (*self._tree.modules.values(), *self._tree.tests.values()):
            texts = {id(node.value) for node in ast.walk(module.syntax) if isinstance(node, ast.Expr)}
            for node in ast.walk(module.syntax):
                for name in (
                    getattr(node, "id", None),
                    getattr(node, "attr", None),
                    getattr(node, "name", None),
                    getattr(node, "arg", None),
                ):
                    if isinstance(name, str):
                        found.update(_WORD.findall(name))
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
                    found.update(_WORD.findall(node.value))
            found.update(module.name.split("."))
        found.update([to_camel(name) for name in found if "_" in name])  # as the stack file and the document write them
        return frozenset(found)
