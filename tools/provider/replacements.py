"""Asks Terraform's AWS provider, which pulumi-aws wraps, what a change of each property replaces: no cloud, no account.

    python -m tools.provider.replacements --plugin PATH/terraform-provider-aws_v5.100.0_x5

It writes facts/data/properties.json. For each resource type of both stacks' plans the provider is shown a resource
before and after a change of one settable property; its plan tells whether only a new resource can have it.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.provider.protocol import Provider, ProviderError, installed

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
TERRAFORM_NAMES: Mapping[tuple[str, str], str] = {
    ("aws_cloudwatch_metric_alarm", "name"): "alarm_name",
    ("aws_db_instance", "clusterIdentifier"): "",
}
"""Properties that pulumi-aws calls otherwise."""
WHAT = (
    "By resource type of both stacks' plans: the properties whose change AWS's provider answers with a new resource "
    "(replaces), and those that it could not be asked about (silent)"
)
NEWER = {"region": True}
"""Properties that only the provider's next major has, which pulumi-aws 7 wraps: a resource's own region replaces it."""


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


def asked(plugin: Path, types: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The facts of Pulumi's resource types with their properties, as `facts/data/properties.json` keeps them."""
    from policies.terraform import terraform_type

    found: dict[str, Any] = {}
    with Provider(plugin) as provider:
        for token in sorted(types):
            name = terraform_type(token)
            if not provider.knows(name):
                continue
            settable = provider.settable(name)
            replaces: list[str] = []
            silent: list[str] = []
            for prop in sorted(types[token]):
                attribute = _attribute(name, prop, settable)
                if attribute is None:
                    (replaces if NEWER.get(prop) else silent).append(prop)
                    continue
                try:
                    paths = replaced(provider, name, [attribute])
                except ProviderError:
                    silent.append(prop)
                    continue
                replaces += sorted({_pulumi_path(prop, path) for path in paths})
            found[token] = {"replaces": replaces, **({"silent": silent} if silent else {})}
        version = provider.version
    return {
        "what": WHAT,
        "source": "hashicorp/aws, asked by tools/provider",
        "version": version,
        "date": datetime.now(UTC).date().isoformat(),
        "content": found,
    }


def _attribute(terraform_type: str, prop: str, settable: Mapping[str, Any]) -> str | None:
    """Terraform's name of a Pulumi property: snake case, and blocks in the singular."""
    snake = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", prop).lower()
    singular = [f"{snake[:-3]}y"] if snake.endswith("ies") else [snake[:-2]] if snake.endswith("es") else []
    tried = [TERRAFORM_NAMES.get((terraform_type, prop), snake), *singular, snake.removesuffix("s")]
    return next((name for name in tried if name in settable), None)


def _pulumi_path(prop: str, path: str) -> str:
    """`launchTemplate.id` of `launch_template.id`."""
    inner = [re.sub(r"_(.)", lambda match: match[1].upper(), step) for step in path.split(".")[1:]]
    return ".".join([prop, *inner])


def planned_types(stacks: Iterable[str]) -> dict[str, set[str]]:
    """The AWS resource types of the stacks' plans, each with all properties that the SDK knows of it."""
    import plan
    from plan import sdk

    types = {r.type for stack in stacks for r in plan.run(stack).resources if r.package == "aws" and r.custom}
    return {token: set(sdk.members(sdk.inputs_class(token))) for token in types}


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the facts; 1 where there is no plugin."""
    from facts.replacements import FILE

    parser = argparse.ArgumentParser(prog="python -m tools.provider.replacements", description=__doc__)
    parser.add_argument("--plugin", type=Path, help="the provider's executable (the newest installed)")
    options = parser.parse_args(arguments)
    try:
        plugin = options.plugin or installed()
        if plugin is None or not plugin.is_file():
            raise ProviderError("no AWS provider is installed here; name one with --plugin")
        facts = asked(plugin, planned_types(("dev", "prod")))
    except ProviderError as error:
        print(error, file=sys.stderr)
        return 1
    FILE.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    console.run(main)
