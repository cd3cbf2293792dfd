"""What a change of each property replaces, asked of Terraform's AWS provider, which pulumi-aws wraps.

For each resource type of both stacks' plans the provider is shown a resource before and after a change of one settable
property; its plan tells whether only a new resource can have it. The table `properties` of facts/make.py has it all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import plan
from plan import sdk
from policies.terraform import terraform_type
from tools.provider.protocol import Provider, ProviderError
from tools.provider.translation import NAMES, NEWER, Shape, camel, shape_of

SOURCE = "AWS's Terraform provider, a plan of one change at a time"
STACKS = ("dev", "prod")
EXAMPLES: Mapping[str, tuple[Any, Any]] = {
    "engine_version": ("7.0", "7.1"),
    "cidr_block": ("10.0.0.0/16", "10.1.0.0/16"),
}
"""Values where the provider reads what it compares."""
TOGETHER: Mapping[str, Mapping[str, Any]] = {
    "multi_az_enabled": {"automatic_failover_enabled": True, "num_cache_clusters": 2},
    "blue_green_update": {"engine": "mysql"},
}
"""What else must be set for a property to be judged; it does not change."""


def replaced(provider: Provider, terraform_type: str, properties: Iterable[str]) -> set[str]:
    """The paths in these properties whose change replaces the resource (`launch_template.id`).

    Raises: ProviderError where the provider has no answer.
    """
    block = provider.block(terraform_type)
    settable, wanted = provider.settable(terraform_type), set(properties)
    beside = {name: value for one in wanted for name, value in TOGETHER.get(one, {}).items() if name in settable}
    before: dict[str, Any] = {"id": "before"}
    after: dict[str, Any] = {"id": "before"}
    for attribute in block.attributes:
        kind = json.loads(attribute.type)
        if attribute.name in wanted and attribute.name in settable:
            values = EXAMPLES.get(attribute.name) if kind == "string" else None
            before[attribute.name], after[attribute.name] = values or (_example(kind, 0), _example(kind, 1))
        elif attribute.name != "id":
            before[attribute.name] = after[attribute.name] = beside.get(attribute.name)
    for nested in block.block_types:
        change = nested.type_name in wanted
        before[nested.type_name] = _nested(nested, 0) if change else _none(nested)
        after[nested.type_name] = _nested(nested, 1) if change else _none(nested)
    planned = provider.plan(terraform_type, before, after)
    if planned.errors:
        raise ProviderError("; ".join(map(str, planned.errors)))
    return {".".join(path) for path in planned.replaced_by if path[:1] and path[0] in wanted}


def _example(kind: Any, which: int) -> Any:
    """A value of a Terraform type: one before the change, another after it."""
    if kind == "string":
        return ("before", "after")[which]
    if kind == "number":
        return (1, 2)[which]
    if kind == "bool":
        return (False, True)[which]
    shape, inner = kind
    if shape in ("list", "set"):
        return [_example(inner, which)]
    if shape == "map":
        return {"key": _example(inner, which)}
    return {name: _example(value, which) for name, value in inner.items()}


def _nested(nested: Any, which: int) -> Any:
    inner: dict[str, Any] = {}
    for attribute in nested.block.attributes:
        settable = attribute.required or attribute.optional
        inner[attribute.name] = _example(json.loads(attribute.type), which) if settable else None
    inner |= {b.type_name: _nested(b, which) for b in nested.block.block_types}
    return inner if nested.nesting in (1, 5) else [inner]


def _none(nested: Any) -> Any:
    return None if nested.nesting in (1, 5) else []


def replacements(plugin: Path) -> tuple[str, dict[str, dict[str, list[str]]]]:
    """The provider's version, and by Pulumi type of both stacks' plans the properties whose change it answers with
    a new resource (`replaces`), and those that it could not be asked about (`silent`).
    """
    with Provider(plugin) as provider:
        found = {token: _of_type(provider, token) for token in _planned() if provider.knows(terraform_type(token))}
        return provider.version, found


def _of_type(provider: Provider, token: str) -> dict[str, list[str]]:
    name = terraform_type(token)
    settable, members = provider.settable(name), shape_of(provider.block(name)).members
    shape = Shape("object", members={member: of for member, of in members.items() if member in settable})
    replaces: list[str] = []
    silent: list[str] = []
    for prop in sorted(sdk.members(sdk.inputs_class(token))):
        if prop in NEWER:  # a resource's own region replaces it
            replaces.append(prop)
            continue
        attribute = NAMES.get((name, prop)) or shape.find(prop)
        try:
            paths = replaced(provider, name, [attribute]) if attribute else None
        except ProviderError:
            paths = None
        if paths is None:
            silent.append(prop)
        else:
            replaces += sorted(".".join([prop, *map(camel, path.split(".")[1:])]) for path in paths)
    return {"replaces": replaces, **({"silent": silent} if silent else {})}


def _planned() -> list[str]:
    """The AWS resource types of both stacks' plans."""
    return sorted({r.type for stack in STACKS for r in plan.run(stack).resources if r.package == "aws" and r.custom})
