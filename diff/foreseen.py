"""What changes with a text that a plan cannot know: a ConfigMap is unknown as a whole while one server's name in it is.

The component that writes such a text says its known parts in its own inputs. Where those differ, what is made of the
text differs, and the pods whose template has its hash roll.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from plan.record import Plan, Resource
from plan.values import is_unknown

WRITERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "hal9:document:DeploymentDocument": (
        "the deployment document",
        ("hal9:workload:Ground", "hal9:workload:Workload"),
    ),
    "hal9:gateway:Gateway": ("nginx's configuration", ("hal9:gateway:Gateway",)),
}
"""By the type of the component that writes a text: what the
text is, and the components whose objects are made of it.
"""


@dataclass(frozen=True)
class Cause:
    """Why an object changes although its inputs look the same: where in it the text or its hash stands."""

    path: str
    said: str


def rolled(before: Plan, after: Plan, place: Callable[[Resource], str]) -> Iterator[tuple[str, Cause]]:
    """The objects, by URN, that are made of a text whose known parts differ. `place`: a resource's region."""
    old = before.by_urn
    changed: dict[tuple[str, str], str] = {}
    for writer in after.resources:
        if writer.type in WRITERS and writer.urn in old and old[writer.urn].inputs != writer.inputs:
            what, users = WRITERS[writer.type]
            changed.update({(user, _region(writer)): what for user in users})
    if not changed:
        return
    for resource in after.resources:
        path = _unknown_text(resource)
        parent = after.by_urn.get(resource.parent)
        text = changed.get((parent.type, place(resource))) if path and parent else None
        if text:
            yield resource.urn, Cause(path, text)


def _region(writer: Resource) -> str:
    return str(writer.inputs.get("region") or writer.inputs.get("document", {}).get("region", ""))


def _unknown_text(resource: Resource) -> str:
    """The path of a ConfigMap's unknown text, or of an unknown hash among the pods' annotations; else empty."""
    if resource.type.endswith(":ConfigMap"):
        data = resource.inputs.get("data")
        return "data" if is_unknown(data) or any(map(is_unknown, _within(data))) else ""
    if resource.type.startswith("kubernetes:apps/"):
        template = resource.inputs.get("spec", {}).get("template", {})
        annotations = template.get("metadata", {}).get("annotations", {})
        return "spec.template.metadata.annotations" if any(map(is_unknown, annotations.values())) else ""
    return ""


def _within(data: Any) -> list[Any]:
    return list(data.values()) if isinstance(data, Mapping) else []
