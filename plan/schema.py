"""What a resource type takes, read from its own SDK: names, types, what is required.

`check_inputs` is pure and knows nothing of how the inputs came to be, so that the embedded engine and the
stand-in providers of the real engine judge with the same code. The SDK's classes are loaded one at a time,
when a resource of their type is first seen.
"""

from __future__ import annotations

import collections.abc
import difflib
import enum
import functools
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
from pulumi import _types

from plan.sdk import PROVIDER, inputs_class, is_custom_object, members, resource_class
from plan.values import is_asset, is_unknown, reveal

__all__ = [
    "PROVIDER",
    "Problem",
    "alternatives",
    "check_inputs",
    "element_classes",
    "expected",
    "fits",
    "inputs_class",
    "is_custom_object",
    "members",
    "resource_class",
]


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a resource's inputs: `path` as `spec.ports[0].name` (camelCase), `message` what and why.

    A message never holds a value that was given, only what kind of value it is: it may be a secret.
    """

    path: str
    message: str


def check_inputs(token: str, inputs: Mapping[str, Any]) -> list[Problem]:
    """Everything wrong with the inputs of a custom resource or provider of type `token`, in order of path.

    `inputs` are as they arrive over the wire, plain Python with camelCase keys. Unknown values fit everywhere
    (Pulumi's sentinel string, `Unknown` objects, `plan.values.Unknown`); secrets are looked into, wrapped in
    their signature object or not. A type that no installed SDK knows is itself a problem.
    """
    try:
        expected = inputs_class(token)
    except LookupError as error:
        return [Problem("", str(error))]
    if token.startswith(PROVIDER):
        inputs = _decoded(inputs, expected)
    elif is_custom_object(token):
        inputs = {name: inputs[name] for name in inputs if name in members(expected)}
    return sorted(_object(inputs, expected, ""))


def expected(token: str, name: str) -> str:
    """What the input `name` (Python's or Pulumi's) of a resource type takes, in words; LookupError if it has none."""
    known = members(inputs_class(token))
    hint = known[name if name in known else _camel(name)]
    return _or(dict.fromkeys(map(_named, _takes(hint))))


@functools.cache
def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that a value of `hint` may have: unions flattened, without None and the wrappers of an Input."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(dict.fromkeys(one for part in typing.get_args(hint) for one in alternatives(part)))
    if typing.get_origin(hint) is pulumi.Output:
        return alternatives(typing.get_args(hint)[0])
    if hint is type(None) or typing.get_origin(hint) is collections.abc.Awaitable or typing.is_typeddict(hint):
        return ()
    return (hint,)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is one of `hint`'s, required members aside: what the SDK takes as an output."""
    return not list(_value(value, hint, "", whole=False))


@functools.cache
def _takes(hint: Any) -> tuple[Any, ...]:
    """Like `alternatives`, for an input: its Output wrapper says nothing and is dropped."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return alternatives(typing.Union[tuple(p for p in parts if typing.get_origin(p) is not pulumi.Output)])  # noqa: UP007


@functools.cache
def _required(cls: type) -> frozenset[str]:
    return frozenset(_types._required_property_names(cls))


def _object(value: Mapping[str, Any], cls: type, path: str, whole: bool = True) -> Iterator[Problem]:
    """An SDK class's members: unknown names, missing ones (`whole`), and each one's own value."""
    known = members(cls)
    prefix = f"{path}." if path else ""
    for name, member in value.items():
        if name.startswith("__"):
            continue
        if name in known:
            yield from _value(member, known[name], prefix + name, whole)
        else:
            yield Problem(prefix + name, f"no such name{_nearest(name, known)}")
    if whole:
        for name in sorted(_required(cls)):
            if value.get(name) is None:
                yield Problem(prefix + name, "missing; it is required")


def _value(value: Any, hint: Any, path: str, whole: bool = True) -> Iterator[Problem]:
    """One value against an annotation: of its alternatives, the one of the value's own kind that fits best."""
    value = reveal(value)
    if value is None or is_unknown(value):
        return
    choices = _takes(hint) if whole else alternatives(hint)
    if not choices or Any in choices:
        return
    kind = _kind(value)
    alike = _of_kind(choices, kind)
    if not alike:
        yield Problem(path, f"expected {_or(dict.fromkeys(map(_named, choices)))}, got {kind}")
    elif len(alike) == 1:
        yield from _inside(value, alike[0], path, whole)
    else:
        yield from min(([*_inside(value, choice, path, whole)] for choice in alike), key=len)


@functools.cache
def _of_kind(choices: tuple[Any, ...], kind: str) -> tuple[Any, ...]:
    return tuple(choice for choice in choices if kind in _kinds(choice))


def _inside(value: Any, choice: Any, path: str, whole: bool) -> Iterator[Problem]:
    """A value against one type of its own kind."""
    origin = typing.get_origin(choice) or choice
    arguments = typing.get_args(choice)
    if origin is Literal or _is_enum(choice):
        allowed = _samples(choice)
        if value not in allowed:
            yield Problem(path, f"must be {_or(map(repr, allowed))}")
    elif _is_object(choice):
        yield from _object(value, choice, path, whole)
    elif isinstance(value, (list, tuple)) and arguments:
        for index, item in enumerate(value):
            yield from _value(item, arguments[0], f"{path}[{index}]", whole)
    elif isinstance(value, Mapping) and len(arguments) == 2:
        for name, item in value.items():
            yield from _value(item, arguments[1], f"{path}.{name}", whole)
    elif choice is int and isinstance(value, float) and not value.is_integer():
        yield Problem(path, "expected a whole number, got a fraction")


def _kinds(choice: Any) -> set[str]:
    """The kinds of value, in words, that a type takes."""
    origin = typing.get_origin(choice) or choice
    if origin is Literal or _is_enum(choice):
        return set(map(_kind, _samples(choice)))
    if _is_object(choice) or origin in (dict, collections.abc.Mapping):
        return {"an object"}
    if origin in (list, collections.abc.Sequence):
        return {"a list"}
    if isinstance(choice, type) and issubclass(choice, (pulumi.Asset, pulumi.Archive)):
        return {"a file or archive"}
    return _PLAIN.get(
        choice, {"a string", "true or false", "a whole number", "a list", "a file or archive", "an object"}
    )


_PLAIN: dict[Any, set[str]] = {
    str: {"a string"},
    bool: {"true or false"},
    int: {"a whole number"},
    float: {"a whole number"},
}


def _samples(choice: Any) -> Sequence[Any]:
    """The values of a Literal or an enum."""
    return typing.get_args(choice) or [member.value for member in choice]


@functools.cache
def _is_object(choice: Any) -> bool:
    return isinstance(choice, type) and (_types.is_input_type(choice) or _types.is_output_type(choice))


@functools.cache
def _is_enum(choice: Any) -> bool:
    return isinstance(choice, type) and issubclass(choice, enum.Enum)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    for kind, name in ((str, "a string"), ((int, float), "a whole number"), ((list, tuple), "a list")):
        if isinstance(value, kind):
            return name
    return "a file or archive" if is_asset(value) else "an object"


def _named(choice: Any) -> str:
    origin = typing.get_origin(choice) or choice
    if origin is Literal or _is_enum(choice):
        return _or(map(repr, _samples(choice)))
    if origin in (list, collections.abc.Sequence):
        return "a list"
    plain: dict[Any, str] = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}
    return plain.get(choice, "an object")


def _or(words: typing.Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    camel = _camel(name)
    near = [camel] if camel in known else difflib.get_close_matches(camel, known, 1, 0.7)
    return f"; did you mean {near[0]}?" if near else ""


def _camel(name: str) -> str:
    return re.sub(r"_+(.)", lambda match: match[1].upper(), name)


def _decoded(inputs: Mapping[str, Any], cls: type) -> dict[str, Any]:
    """A provider's inputs: the SDK sends all but strings as JSON, with Python's names inside."""

    def camel(value: Any) -> Any:
        if isinstance(value, dict):
            return {_camel(k): v for k, v in value.items()}
        return [camel(v) for v in value] if isinstance(value, list) else value

    result = {}
    for name, value in inputs.items():
        plain = reveal(value)
        encoded = name in members(cls) and str not in _takes(members(cls)[name])
        if encoded and isinstance(plain, str) and not is_unknown(plain):
            try:
                plain = camel(json.loads(plain))
            except ValueError:
                plain = value  # not JSON: the check says what was expected
        result[name] = plain
    result.pop("version", None)  # the engine's own: the plugin's version
    return result


def element_classes(hint: Any) -> Sequence[type]:
    """The SDK classes that values of `hint` are, directly or as elements of a list or map."""
    found: list[type] = []
    for choice in alternatives(hint):
        if _is_object(choice):
            found.append(choice)
        elif typing.get_args(choice):
            found += element_classes(typing.get_args(choice)[-1])
    return found
