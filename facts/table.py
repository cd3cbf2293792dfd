"""A table of facts: its content, and where and when it was taken from."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).with_name("data")


@dataclass(frozen=True)
class Table:
    """One file of `data/`. `version` is the source's, `date` the day on which it was read."""

    name: str
    what: str
    source: str
    version: str
    date: str
    content: Any

    @property
    def cited(self) -> str:
        """The source as a finding names it: `moto 5.2.5, 2026-11-28`."""
        return f"{self.source} {self.version}, {self.date}" if self.version else f"{self.source}, {self.date}"


@functools.cache
def table(name: str) -> Table:
    """The table `data/NAME.json`. A file without a source is a mistake of this repository: KeyError."""
    read = json.loads((DATA / f"{name}.json").read_text("utf-8"))
    return Table(name, read["what"], read["source"], read["version"], read["date"], read["content"])


def names() -> list[str]:
    """Every table there is."""
    return sorted(path.stem for path in DATA.glob("*.json"))
