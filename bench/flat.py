"""A flat program from a plan: the same resources with the same inputs, one after another, without any component.

It is what `make bench` compares the real program with: the price of its structure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from pulumi import _types

from plan import files, sdk
from plan.record import Plan, Resource
from plan.values import Secret, Unknown, UnknownSecret


def write_flat_project(plan: Plan, directory: Path) -> None:
    """Writes the program as a project of the same name into a directory."""
    files.write(directory / "Pulumi.yaml", f"name: {plan.project}\nruntime: python\n")
    files.write(directory / f"Pulumi.{plan.stack}.yaml", "config: {}\n")
    files.write(directory / "__main__.py", "\n".join(_program(plan)) + "\n")


def _program(plan: Plan) -> Iterator[str]:
    made = {resource.urn: resource for resource in plan.resources if resource.custom}
    order = TopologicalSorter({urn: sorted({*r.dependencies, r.provider} & made.keys()) for urn, r in made.items()})
    variables = {urn: f"r{index}" for index, urn in enumerate(order.static_order())}
    packages = sorted({sdk.resource_class(r.type).__module__.split(".")[0] for r in made.values()})
    yield from ("import pulumi", *(f"import {package}" for package in packages), "")
    for urn, variable in variables.items():
        yield f"{variable} = {_constructor(made[urn], variable, variables)}"


def _constructor(resource: Resource, variable: str, variables: Mapping[str, str]) -> str:
    """One call of the SDK's class, as an author would write it."""
    cls = sdk.resource_class(resource.type)
    python_names = {
        pulumi_name: name
        for name, pulumi_name, _ in _types._py_properties(sdk.inputs_class(resource.type))  # noqa: SLF001 - the SDK has no public name for it
    }
    arguments = [
        f"{python_names[name]}={_literal(_given(resource, value), _source(resource, name, variables))}"
        for name, value in resource.inputs.items()
        if name in python_names and not (name in ("apiVersion", "kind") and _says_itself(resource))
    ]
    options = [f"provider={variables[resource.provider]}"] if resource.provider in variables else []
    options += [f"protect={resource.protect}"] if resource.protect else []
    shown = {urn for urns in resource.property_dependencies.values() for urn in urns}
    after = [variables[urn] for urn in resource.dependencies if urn in variables and urn not in shown]
    options += [f"depends_on=[{', '.join(after)}]"] if after else []
    arguments.append(f"opts=pulumi.ResourceOptions({', '.join(options)})")
    return f"{_path_of(cls)}({f'{resource.name}-{variable}'!r}, {', '.join(arguments)})"


def _says_itself(resource: Resource) -> bool:
    """Whether a class gives its objects' version and kind itself: Kubernetes' own do."""
    return resource.package == "kubernetes" and not sdk.is_custom_object(resource.type)


def _path_of(cls: type) -> str:
    """How an author names a class: `pulumi_aws.ec2.Vpc`, without the module that it is in."""
    return ".".join([*cls.__module__.split(".")[:-1], cls.__name__])


def _source(resource: Resource, name: str, variables: Mapping[str, str]) -> str:
    """An expression for the unknown value of an input: an output of a resource that it comes from."""
    known = [variables[urn] for urn in resource.property_dependencies.get(name, ()) if urn in variables]
    return f"{known[0]}.id" if known else "pulumi.Output.from_input(pulumi.output.UNKNOWN)"


def _given(resource: Resource, value: Any) -> Any:
    """An input as it was given to the SDK, which sends a provider's as JSON."""
    if resource.is_provider and isinstance(value, str) and not isinstance(value, (Unknown, Secret)):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _literal(value: Any, source: str) -> str:
    if isinstance(value, UnknownSecret):
        return f"pulumi.Output.secret({source})"
    if isinstance(value, Unknown):
        return source
    if isinstance(value, Secret):
        return f"pulumi.Output.secret({str(value)!r})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {_literal(inner, source)}" for name, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_literal(inner, source) for inner in value) + "]"
    return repr(value)
