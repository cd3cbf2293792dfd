"""What a stack was built from, as `pulumi up` records it in the
stack's outputs, so that the next change is told from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topology.load import parse
from topology.stackfile import StackFileError
from topology.topology import Topology

OUTPUT = "topology"
"""The stack output that holds the record."""
MODEL = 1
"""Grows when the stack file's settings change their meaning, so that a record of another one is not misread."""


class RecordError(Exception):
    """A record that this version of the model cannot read. The text is one sentence."""


def record(topology: Topology) -> dict[str, Any]:
    """Every setting, defaults included, in the stack file's own form, with the model's version."""
    settings = topology.model_dump(mode="json", by_alias=True)
    del settings["$stack"]
    for region in settings["regions"].values():
        del region["$name"]
    return {"model": MODEL, "stack": topology.stack, "settings": settings}


def recorded(content: Any) -> Topology:
    """The topology of a record. RecordError where it is none, or another model's."""
    content = _whole(content)
    if not isinstance(content, Mapping) or "model" not in content or not isinstance(content.get("settings"), Mapping):
        raise RecordError("it is no record of a topology (model, stack, settings), as `pulumi stack output` gives it")
    if content["model"] != MODEL:
        raise RecordError(f"it was recorded by version {content['model']!r} of the model, and this is version {MODEL}")
    try:
        # what stands may be older than a rule
        return parse(str(content.get("stack")), content["settings"], judged=False)
    except StackFileError as error:
        first = str(error).splitlines()[1].strip() if len(str(error).splitlines()) > 1 else str(error)
        raise RecordError(f"this version of the model does not take it: {' '.join(first.split())}") from None


def _whole(value: Any) -> Any:
    """Whole numbers as such: they are floats on their way through the engine."""
    if isinstance(value, Mapping):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
