"""The repository's Python modules, parsed once: what the other parts of this package ask."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Module:
    """One file. `name` is dotted; a package is its `__init__.py`."""

    path: Path
    name: str
    source: str

    @cached_property
    def syntax(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.source)


class Tree:
    """A checkout's modules, tests apart; and every other file that git knows or would take."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Every file below the root, relative to it, ignored ones left out."""
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listed = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True).stdout
        return tuple(sorted(Path(name) for name in listed.split("\0") if name and (self.root / name).is_file()))

    @cached_property
    def modules(self) -> dict[str, Module]:
        """The modules that are no test, by dotted name."""
        return {m.name: m for m in self._parsed() if m.path.parts[0] != "tests"}

    @cached_property
    def tests(self) -> dict[str, Module]:
        """The tests' modules, by dotted name."""
        return {m.name: m for m in self._parsed() if m.path.parts[0] == "tests"}

    def text(self, path: Path) -> str:
        """A file's text; what is no UTF-8 is replaced."""
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def _parsed(self) -> Iterator[Module]:
        for path in self.files:
            if path.suffix == ".py":
                parts = path.with_suffix("").parts
                yield Module(path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts), self.text(path))
