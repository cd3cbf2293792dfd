"""The stack file's JSON schema, for editors: made from the model, so that it cannot say anything else.

An editor with YAML's language server completes keys, shows their defaults and underlines what is unknown or of a wrong
kind. What only the rules see (topology/rules) is not in it. `python -m topology.schema` writes
docs/stack-file.schema.json; a test fails where it is out of date.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from topology.stackfile import NAMESPACE
from topology.switches import NO_DEFAULTS, PACKAGES
from topology.topology import Topology

PATH = Path(__file__).resolve().parents[1] / "docs" / "stack-file.schema.json"
LINE = "# yaml-language-server: $schema=docs/stack-file.schema.json"
"""The line that tells an editor, at the top of each stack file."""


def schema() -> dict[str, Any]:
    """The whole schema."""
    model = _without_own_names(Topology.model_json_schema(by_alias=True, mode="validation"))
    definitions = model.pop("$defs")
    keys = {f"{NAMESPACE}:{name}": value for name, value in model["properties"].items()}
    switches = {"type": "array", "items": {"type": "string"}, "contains": {"const": PACKAGES[0]}}
    config = {
        "type": "object",
        "description": model["description"],
        "properties": {NO_DEFAULTS: switches, **keys},
        "patternProperties": {"^pulumi:": {}},
        "required": [NO_DEFAULTS, *(f"{NAMESPACE}:{name}" for name in model["required"])],
        "additionalProperties": False,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A stack of HAL9",
        "type": "object",
        "properties": {"config": config},
        "required": ["config"],
        "$defs": definitions,
    }


def text() -> str:
    """The schema as its file has it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _without_own_names(value: Any) -> Any:
    """The schema without the names that the model gives itself ($stack, $name), which no file may hold."""
    if isinstance(value, list):
        return [_without_own_names(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {name: _without_own_names(one) for name, one in inner.items() if not name.startswith("$")}
        if key == "properties"
        else _without_own_names(inner)
        for key, inner in value.items()
        if key != "title"
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the schema; exit status 0."""
    argparse.ArgumentParser(prog="python -m topology.schema", description=__doc__.splitlines()[0]).parse_args(arguments)
    PATH.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    console.run(main)
