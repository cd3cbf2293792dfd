"""Judges the order of operations by what depends on what:
in Pulumi's state, and in the values that clouds were given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.engine.standins.cloud import Live, Operation

NAMING_PROPERTIES = {
    "clusterName": "cluster:Cluster",
    "dbSubnetGroupName": "subnetGroup:SubnetGroup",
    "subnetGroupName": "subnetGroup:SubnetGroup",
    "parameterGroupName": "parameterGroup:ParameterGroup",
}
"""Inputs that name another resource of the same AWS service, and that resource's type."""

_SHORT = 8
"""An id no longer than this may stand in a value by chance."""


def dependencies(state: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Of each resource in an exported state, what it depends on: its dependencies, its parent and its provider."""
    found: dict[str, set[str]] = {}
    for resource in state:
        provider = str(resource.get("provider") or "").rpartition("::")[0]
        named = [*(resource.get("dependencies") or []), resource.get("parent"), provider, resource.get("deletedWith")]
        found[str(resource["urn"])] = {str(urn) for urn in named if urn}
    return found


def references(resources: Iterable[Live]) -> dict[str, set[str]]:
    """Of each resource that lives, those whose id, ARN or name stands in its inputs, whether Pulumi knows of it or not.

    A name counts only in a property that takes such a name: many resources may be called alike.
    """
    resources = list(resources)
    owners: dict[str, str] = {}
    named: dict[tuple[str, str, str], str] = {}
    for live in resources:
        given = set(_texts(live.inputs))  # an id or ARN that was given is another's: a topic policy has its topic's
        for value in (live.id, live.outputs.get("arn")):
            if isinstance(value, str) and len(value) > _SHORT and value not in given:
                owners[value] = live.urn
        named[live.token, live.scope, live.physical_name] = live.urn
    found: dict[str, set[str]] = {}
    for live in resources:
        service = live.token.split("/")[0]
        by_name = {
            named.get((f"{service}/{kind}", live.scope, str(live.inputs.get(name))))
            for name, kind in NAMING_PROPERTIES.items()
        }
        by_value = {owners.get(text) for text in _texts(live.inputs)}
        found[live.urn] = {urn for urn in by_name | by_value if urn} - {live.urn}
    return found


def deleted_too_early(operations: Iterable[Operation], needs: Mapping[str, set[str]]) -> list[str]:
    """Each case of a resource deleted before one that needs it, or while that was being deleted."""
    deletes = {operation.urn: operation for operation in operations if operation.kind == "delete"}
    return [
        f"{needed} was deleted before {urn}, which needs it"
        for urn, wanted in needs.items()
        for needed in sorted(wanted)
        if urn in deletes and needed in deletes and _starts_before_end(deletes[needed], deletes[urn])
    ]


def created_too_early(operations: Iterable[Operation], needs: Mapping[str, set[str]]) -> list[str]:
    """Each case of a resource created before one that it needs was there."""
    creates = {operation.urn: operation for operation in operations if operation.kind == "create"}
    return [
        f"{urn} was created before {needed}, which it needs"
        for urn, wanted in needs.items()
        for needed in sorted(wanted)
        if urn in creates and needed in creates and _starts_before_end(creates[urn], creates[needed])
    ]


def _starts_before_end(later: Operation, earlier: Operation) -> bool:
    return earlier.ended is None or later.started < earlier.ended


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
