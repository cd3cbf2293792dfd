"""A plan as JSON: the same bytes for the same stack file, on any machine."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from plan.record import Plan, Resource


def to_json(plan: Plan) -> str:
    """Every resource in the order of the URNs, and the outputs; unknown values read `[unknown]`, secrets `[secret]`."""
    document = {
        "project": plan.project,
        "stack": plan.stack,
        "outputs": plan.outputs,
        "resources": [_record(resource) for resource in plan.resources],
    }
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _record(resource: Resource) -> dict[str, Any]:
    return {_camel(field.name): getattr(resource, field.name) for field in dataclasses.fields(resource)}


def _camel(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)
