"""What a policy is: a rule, what it prevents, and what of it can be set. A rule knows nothing of how it is run.

@resource_policy(RDS, days=Setting(7, "fewest days of backups"))
def rds_retention_explicit(db: Resource, days: int) -> Iterator[Finding]:
    '''What it prevents. (references)

    Fix: what to change.
    '''
"""

from __future__ import annotations

import enum
import fnmatch
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plan.record import Resource
from policies.stack import Stack


class Level(enum.StrEnum):
    """What a violation does: stops the deployment, is only shown, or is not looked for."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Violation:
    """What is wrong with one resource (or with the stack, where
    there is none to name): what was found, what is wanted.
    """

    resource: Resource | None
    found: str
    wanted: str


@dataclass(frozen=True)
class Later:
    """Something of a resource that is not known before the deployment: judged when the engine knows it."""

    resource: Resource
    path: str


Finding = Violation | Later
Rule = Callable[..., Iterator[Finding]]


@dataclass(frozen=True)
class Setting:
    """A threshold of a policy: its default, and what it means. The default's type is the setting's."""

    default: Any
    meaning: str
    least: int | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """As JSON schema, for CrossGuard's `config_schema`."""
        kinds: dict[type, dict[str, Any]] = {
            bool: {"type": "boolean"},
            int: {"type": "integer"},
            str: {"type": "string"},
            tuple: {"type": "array", "items": {"type": "string"}},
        }
        default = list(self.default) if isinstance(self.default, tuple) else self.default
        least = {} if self.least is None else {"minimum": self.least}
        return {**kinds[type(self.default)], **least, "description": self.meaning, "default": default}

    def read(self, value: Any) -> Any:
        """A configured value as rules take it. ValueError that says what is wanted."""
        kind = type(self.default)
        if kind is int and isinstance(value, float) and value.is_integer():
            value = int(value)  # numbers are floats on their way through the engine
        if kind is tuple and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        if type(value) is not kind:
            words = {bool: "true or false", int: "a whole number", str: "text", tuple: "a list of texts"}
            raise ValueError(f"{value!r} is not {words[kind]}")
        if self.least is not None and value < self.least:
            raise ValueError(f"{value!r} is below {self.least}")
        return value


@dataclass(frozen=True)
class Policy:
    """One policy. `types` are the resource types that it judges
    (with `*`), for a stack policy those that it is about.
    """

    name: str
    rule: Rule = field(repr=False)
    types: tuple[str, ...]
    of_stack: bool
    level: Level
    settings: Mapping[str, Setting]
    prevents: str
    reference: str
    fix: str
    at_deployment: bool = False
    """What it finds in a plan that nobody is about to deploy is told, and stops nothing."""

    @property
    def area(self) -> str:
        """The module that the rule is in: `data` of `policies.rules.data`."""
        return self.rule.__module__.rpartition(".")[2]

    def judges(self, token: str) -> bool:
        """Whether this policy is about resources of a type."""
        return any(token == t or ("*" in t and fnmatch.fnmatchcase(token, t)) for t in self.types)

    def subjects(self, stack: Stack) -> list[Resource]:
        """The resources of a stack that this policy is about."""
        return [resource for token in stack.types if self.judges(token) for resource in stack.of(token)]

    def of_resource(self, resource: Resource, settings: Mapping[str, Any]) -> Iterator[Finding]:
        """What a resource policy finds in one resource, which must be of its types."""
        yield from self.rule(resource, **settings)

    def of(self, stack: Stack, settings: Mapping[str, Any]) -> Iterator[Finding]:
        """What the policy finds in a stack."""
        if self.of_stack:
            yield from self.rule(stack, **settings)
            return
        for resource in self.subjects(stack):
            yield from self.of_resource(resource, settings)

    def message(self, violation: Violation) -> str:
        """What the operator reads: the resource, the value found, the value wanted, and what to change."""
        subject = f"{violation.resource.name} ({violation.resource.type})" if violation.resource else "the stack"
        return f"{subject}: {violation.found}; wanted {violation.wanted}. Fix: {self.fix}"


def resource_policy(
    *types: str, level: Level = Level.MANDATORY, **settings: Setting
) -> Callable[[Callable[..., Iterator[Finding]]], Policy]:
    """Makes a rule over single resources of these types a policy. The rule gets the settings by name."""
    return _maker(types, False, level, settings)


def stack_policy(
    *types: str, level: Level = Level.MANDATORY, at_deployment: bool = False, **settings: Setting
) -> Callable[[Callable[..., Iterator[Finding]]], Policy]:
    """Makes a rule over the whole stack, about resources of these types, a policy."""
    make = _maker(types, True, level, settings)
    return lambda rule: replace(make(rule), at_deployment=at_deployment)


_DOCSTRING = re.compile(
    r"(?P<prevents>.+)\s\((?P<reference>[^()]*(?:\([^()]*\)[^()]*)*)\)\n\nFix: (?P<fix>.+)", re.DOTALL
)


def _maker(
    types: tuple[str, ...], of_stack: bool, level: Level, settings: Mapping[str, Setting]
) -> Callable[[Rule], Policy]:
    def make(rule: Rule) -> Policy:
        told = _DOCSTRING.fullmatch(inspect.getdoc(rule) or "")
        if told is None:
            raise ValueError(
                f"{rule.__module__}.{rule.__name__}: a docstring says what it prevents, (references), Fix:"
            )
        text = {name: " ".join(value.split()).rstrip(".") for name, value in told.groupdict().items()}
        name = rule.__name__.replace("_", "-")
        return Policy(
            name, rule, types, of_stack, level, settings, f"{text['prevents']}.", text["reference"], text["fix"]
        )

    return make
