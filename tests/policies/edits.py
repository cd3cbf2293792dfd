"""A stack with something in it changed: one input, one resource taken out, one field, one source of an input."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from plan.record import Resource
from policies.stack import Stack

ABSENT = object()
"""Takes an input out."""
Path = tuple[str | int, ...]
Change = Callable[[Resource], Resource | None]


def find(stack: Stack, token: str, name: str) -> Resource:
    """The resource of a type with a logical name."""
    return next(resource for resource in stack.of(token) if resource.name == name)


def edited(stack: Stack, token: str, names: Iterable[str], change: Change) -> Stack:
    """The stack with a change made to each of the named resources; None takes one out."""
    wanted = {find(stack, token, name).urn for name in names}
    changed = [(change(resource) if resource.urn in wanted else resource) for resource in stack.resources]
    return Stack(tuple(resource for resource in changed if resource is not None), stack.config)


def put(path: Path, value: Any) -> Change:
    """Sets an input at a path of keys and indices; what is missing on the way is made."""

    def change(resource: Resource) -> Resource:
        inputs = copy.deepcopy(dict(resource.inputs))
        holder: Any = inputs
        for part in path[:-1]:
            holder = holder.setdefault(part, {}) if isinstance(holder, dict) else holder[part]
        if value is not ABSENT:
            holder[path[-1]] = copy.deepcopy(value)
        elif isinstance(holder, dict):
            holder.pop(path[-1], None)
        else:
            del holder[path[-1]]
        return replace(resource, inputs=inputs)

    return change


def fields(**values: Any) -> Change:
    """Sets fields of the record itself."""
    return lambda resource: replace(resource, **values)


def sources(name: str, *urns: str) -> Change:
    """Makes an input come from other resources."""

    def change(resource: Resource) -> Resource:
        return replace(resource, property_dependencies={**resource.property_dependencies, name: urns})

    return change


def gone(_resource: Resource) -> None:
    """Takes the resource out."""
