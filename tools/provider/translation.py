"""A planned resource in the provider's own words: a value for each property of its schema, unknown where the plan's is.

pulumi-aws renames: camelCase, plurals for blocks that may stand several times, a plain object for one that stands once.
The way back is by likeness (`_stem`), with the few names that follow no rule in `NAMES`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from plan.record import Plan, Resource
from plan.values import Secret, is_unknown
from tools.provider.protocol import UNKNOWN

NAMES: Mapping[tuple[str, str], str] = {("aws_cloudwatch_metric_alarm", "name"): "alarm_name"}
"""Properties that pulumi-aws calls otherwise."""
NEWER = frozenset({"region"})
"""Properties of every resource that only the provider's next major has."""
PASSWORD = "random:index/randomPassword:RandomPassword"
_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
"""What a random password is made of besides letters and digits where its resource does not say (hashicorp/random)."""
_NESTING = {1: "object", 2: "list", 3: "set", 4: "map", 5: "object"}
"""tfplugin5's numbers of how a block nests; 5, a group, is an object that is never null."""


@dataclass(frozen=True)
class Shape:
    """What a property takes. `inner` is what a list, set or map has in it, `members` what an object has."""

    kind: str
    inner: Shape | None = None
    members: Mapping[str, Shape] = field(default_factory=dict)
    is_block: bool = False
    required: bool = False

    def find(self, name: str) -> str | None:
        """The member that a Pulumi property is, if any."""
        whole = {f"{name}Id", f"{name}Arn", f"{name}Name"}  # of a resource that may be given as itself
        return (
            next((known for known in self.members if camel(known) == name), None)
            or next((known for known in self.members if _stem(known) == _stem(name)), None)
            or next((known for known in self.members if camel(known) in whole), None)
        )

    @property
    def absent(self) -> Any:
        """The value of what is not written."""
        if self.is_block and self.kind in ("list", "set"):
            return []
        return {} if self.is_block and self.kind == "map" else None


class UntranslatableError(Exception):
    """The provider takes nothing of this kind at this place: `path`, in Pulumi's words."""

    def __init__(self, path: str, wanted: str) -> None:
        super().__init__(f"{path} is no {wanted}")
        self.path = path


@dataclass
class Translation:
    """`config` is what the provider is given; `not_asked` the properties that it does not have."""

    config: dict[str, Any]
    not_asked: list[str]


def shape_of(block: Any) -> Shape:
    """A schema's block (`Provider.block`) as a shape."""
    members = {a.name: _shape_of_type(json.loads(a.type), required=a.required) for a in block.attributes}
    for nested in block.block_types:
        kind, inner = _NESTING[nested.nesting], shape_of(nested.block)
        members[nested.type_name] = inner if kind == "object" else Shape(kind, inner=inner, is_block=True)
    return Shape("object", members=members, is_block=True)


def _shape_of_type(type_: Any, *, required: bool = False) -> Shape:
    if isinstance(type_, str):
        return Shape(type_, required=required)
    kind, inner = type_
    if kind == "object":
        return Shape(kind, members={name: _shape_of_type(one) for name, one in inner.items()}, required=required)
    return Shape(kind, inner=_shape_of_type(inner), required=required)


def translated(resource: Resource, terraform_type: str, shape: Shape, plan: Plan) -> Translation:
    """A planned resource as the provider reads it.

    A name that Pulumi's engine makes up is made up here in the same way, and a random password is the worst that its
    resource may make, so that both are judged. Raises: UntranslatableError.
    """
    not_asked: list[str] = []
    inputs: dict[str, Any] = {}
    for name, value in resource.inputs.items():
        if name in NEWER or value is None:
            continue
        if (terraform_name := NAMES.get((terraform_type, name)) or shape.find(name)) is None:
            not_asked.append(name)
        else:
            inputs[terraform_name] = name, _worst(resource, name, value, plan)
    config = {name: member.absent for name, member in shape.members.items()}
    for terraform_name, (name, value) in inputs.items():
        config[terraform_name] = _value(value, shape.members[terraform_name], name, not_asked)
    for name, member in shape.members.items():
        if member.required and config[name] is None and re.search(r"(^|_)(name|identifier)$", name):
            config[name] = f"{resource.name}-{hashlib.sha256(resource.urn.encode()).hexdigest()[:7]}"
    return Translation(config, not_asked)


def _worst(resource: Resource, name: str, value: Any, plan: Plan) -> Any:
    """The value; where it comes from one random password alone, text of its length with every special character."""
    if not isinstance(value, str) or not (is_unknown(value) or isinstance(value, Secret)):
        return value
    sources = [plan.by_urn[urn] for urn in resource.property_dependencies.get(name, ()) if urn in plan.by_urn]
    if len(sources) != 1 or sources[0].type != PASSWORD:
        return value
    given = sources[0].inputs
    special = given.get("overrideSpecial") or _SPECIAL
    text = "Aa1" + (special if given.get("special", True) else "")
    length = int(given["length"])
    return (text + "x" * length)[:length]


def _value(given: Any, shape: Shape, path: str, not_asked: list[str]) -> Any:
    if is_unknown(given) or isinstance(given, Secret):
        return UNKNOWN
    if shape.inner is not None and shape.kind in ("list", "set"):
        if not isinstance(given, list):
            return [_value(given, shape.inner, path, not_asked)]
        return [_value(item, shape.inner, f"{path}[{i}]", not_asked) for i, item in enumerate(given)]
    if shape.inner is not None and shape.kind == "map" and isinstance(given, Mapping):
        return {key: _value(item, shape.inner, f"{path}.{key}", not_asked) for key, item in given.items()}
    if shape.kind == "object" and isinstance(given, Mapping):
        made = {name: member.absent for name, member in shape.members.items()}
        for name, item in given.items():
            found = shape.find(name)
            if found is None:
                not_asked.append(f"{path}.{name}")
            elif item is not None:
                made[found] = _value(item, shape.members[found], f"{path}.{name}", not_asked)
        return made
    return _plain(given, shape.kind, path)


def _plain(given: Any, wanted: str, path: str) -> Any:
    """A text, number or truth value; Terraform takes each as text too, and a document (a policy) as its JSON."""
    if wanted == "string":
        if isinstance(given, (Mapping, list)):
            return UNKNOWN if any(map(is_unknown, _leaves(given))) else json.dumps(given)
        return given if isinstance(given, str) else json.dumps(given)
    if wanted == "bool" and given in (True, False, "true", "false"):
        return given in (True, "true")
    if wanted == "number" and not isinstance(given, bool):
        try:
            return given if isinstance(given, (int, float)) else float(given)
        except (TypeError, ValueError):
            pass
    raise UntranslatableError(path, wanted)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def camel(name: str) -> str:
    """A property of Terraform as Pulumi spells it."""
    return re.sub(r"_+(.)", lambda match: match[1].upper(), name)


@functools.cache
def _stem(name: str) -> str:
    """The same text for a name in camelCase and snake_case, in the singular and the plural."""
    name = name.lower().replace("_", "")
    return re.sub(r"indices$", "index", re.sub(r"ies$", "y", name)).rstrip("es")
