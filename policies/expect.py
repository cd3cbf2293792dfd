"""What rules ask of an input: its value, known, unknown or absent; and the violations that follow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from plan.record import Resource
from plan.values import Secret, is_unknown
from policies.policy import Violation

UNKNOWN = "not known before the deployment"


def at(value: Resource | Mapping[str, Any], path: str) -> Any:
    """The input at a path such as `vpcConfig.endpointPrivateAccess` or `rules[0].name`.

    None where it is absent; the unknown itself where it, or what it is in, is unknown.
    """
    found: Any = value.inputs if isinstance(value, Resource) else value
    for part in re.findall(r"[^.\[\]]+", path):
        if is_unknown(found):
            return found
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def items(value: Resource | Mapping[str, Any], path: str) -> list[Any]:
    """The list at a path; empty where it is absent or unknown."""
    found = at(value, path)
    return list(found) if isinstance(found, list | tuple) else []


def shown(value: Any) -> str:
    """A value as an operator writes it; never a secret."""
    if value is None or value in ([], {}, ""):
        return "absent"
    if is_unknown(value):
        return UNKNOWN
    if isinstance(value, Secret):
        return "a secret"
    if isinstance(value, str):
        return value if len(value) <= 80 else f"{value[:77]}..."
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, default=str)[:80]


def wants(
    resource: Resource, path: str, wanted: Any, accept: Callable[[Any], bool] | None = None, words: str = ""
) -> Iterator[Violation]:
    """A violation unless the input is known before the deployment and is `wanted` (or `accept` takes it).

    What a rule wants to read is a literal in the program. Were it an unknown, nothing could be said of it before the
    deployment, so an unknown is a violation too. `words` say what is wanted, where the value does not.
    """
    value = at(resource, path)
    good = not is_unknown(value) and (value == wanted if accept is None else value is not None and accept(value))
    if not good:
        yield Violation(resource, f"{path} is {shown(value)}", words or f"{path} {shown(wanted)}")


def wants_one_of(resource: Resource, path: str, wanted: Collection[Any]) -> Iterator[Violation]:
    """A violation unless the input is one of `wanted`."""
    words = f"{path} one of {', '.join(map(str, sorted(wanted)))}"
    yield from wants(resource, path, None, lambda value: value in wanted, words)


def wants_at_least(resource: Resource, path: str, least: int, unit: str = "") -> Iterator[Violation]:
    """A violation unless the input is a number and at least `least`."""

    def enough(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and value >= least

    yield from wants(resource, path, None, enough, f"{path} at least {least}{f' {unit}' if unit else ''}")


def wants_any(resource: Resource, path: str, what: str) -> Iterator[Violation]:
    """A violation where the input is absent or empty; an unknown is a value that will be there."""
    value = at(resource, path)
    if value is None or value in ("", [], {}):
        yield Violation(resource, f"{path} is absent", what)
