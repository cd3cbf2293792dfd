"""The project's own stack files as nested data, to be edited by a test and parsed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plan.project import read_project
from topology.load import parse
from topology.stackfile import NAMESPACE, StackFileError, structure
from topology.topology import Topology

ROOT = Path(__file__).parents[1]
CONFIG = {stack: read_project(ROOT, stack).config for stack in ("dev", "prod")}
DATA = {stack: structure(Topology, config) for stack, config in CONFIG.items()}

Edit = Callable[[dict[str, Any]], object]


def edited(stack: str, *edits: Edit) -> dict[str, Any]:
    """A stack file's data after some edits in place."""
    data = copy.deepcopy(DATA[stack])
    for edit in edits:
        edit(data)
    return data


def put(path: str, value: Any) -> Edit:
    """Sets the value at a path such as `regions.us-west.zones[1]`; `...` takes it out, `[+]` appends."""

    def edit(data: dict[str, Any]) -> None:
        *parents, last = path.replace("[", ".[").split(".")
        holder: Any = data
        for part in parents:
            holder = holder[int(part[1:-1])] if part.startswith("[") else holder.setdefault(part, {})
        if last == "[+]":
            holder.append(value)
        elif value is ...:
            del holder[int(last[1:-1]) if last.startswith("[") else last]
        else:
            holder[int(last[1:-1]) if last.startswith("[") else last] = value

    return edit


def topology(stack: str, *edits: Edit) -> Topology:
    """The topology of an edited stack file."""
    return parse(stack, edited(stack, *edits))


def refusal(stack: str, *edits: Edit) -> list[str]:
    """The lines of an edited stack file's refusal, without the first; empty where it is taken."""
    try:
        topology(stack, *edits)
    except StackFileError as error:
        return [" ".join(line.split(maxsplit=1)) for line in str(error).splitlines()[1:]]
    return []


def as_config(data: Mapping[str, Any]) -> dict[str, str]:
    """Nested data as the CLI hands it over: text, structured values as JSON with sorted keys."""
    return {
        f"{NAMESPACE}:{key}": value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for key, value in data.items()
    }
