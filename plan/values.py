"""Property values as they travel between program and engine: unknowns, secrets, assets; and as the plan keeps them.

On the wire (protobuf) an unknown is a sentinel string and a secret an object with a signature. In a plan they
are `Unknown` and `Secret`, strings that read `[unknown]` and `[secret]`: what a secret is never enters a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import pulumi
from google.protobuf import struct_pb2
from pulumi.runtime import rpc

SIGNATURE = rpc._special_sig_key
SECRET_SIGNATURE = rpc._special_secret_sig
ASSETS = (rpc._special_asset_sig, rpc._special_archive_sig)
SENTINEL = rpc.UNKNOWN


class Marker(str):
    """A string that stands for a value that a plan does not hold."""

    __slots__ = ()

    TEXT = ""

    def __new__(cls) -> Self:
        """The kind's one text."""
        return super().__new__(cls, cls.TEXT)

    def __getnewargs__(self) -> tuple[()]:  # type: ignore[override]
        """Nothing: so that a copy is made as the marker was."""
        return ()


class Unknown(Marker):
    """A value that only the cloud can give. Reads `[unknown]`."""

    TEXT = "[unknown]"


class Secret(Marker):
    """A value that is known and secret, and is not kept. Reads `[secret]`."""

    TEXT = "[secret]"


class UnknownSecret(Unknown, Secret):
    """A value that only the cloud can give and that will be secret. Reads `[unknown secret]`."""

    TEXT = "[unknown secret]"


def is_unknown(value: Any) -> bool:
    """Whether a value is an unknown, in any of its forms."""
    return isinstance(value, (Unknown, pulumi.output.Unknown)) or (isinstance(value, str) and value == SENTINEL)


def is_secret(value: Any) -> bool:
    """Whether a value is a secret, in any of its forms."""
    return isinstance(value, Secret) or (isinstance(value, Mapping) and value.get(SIGNATURE) == SECRET_SIGNATURE)


def is_asset(value: Any) -> bool:
    """Whether a value is a file or archive in its wire form."""
    return isinstance(value, Mapping) and value.get(SIGNATURE) in ASSETS


def reveal(value: Any) -> Any:
    """What is inside a secret's wire form; any other value as it is. A `Secret` has nothing inside: it is unknown."""
    while isinstance(value, Mapping) and value.get(SIGNATURE) == SECRET_SIGNATURE:
        value = value.get("value")
    return Unknown() if isinstance(value, Secret) else value


def wrap_secret(value: Any) -> dict[str, Any]:
    """A value as a secret in its wire form."""
    return {SIGNATURE: SECRET_SIGNATURE, "value": value}


def kept(value: Any, mask: Callable[[str], str]) -> Any:
    """A wire value as a plan keeps it: secrets and unknowns as markers, whole floats as ints, texts through `mask`."""
    if is_secret(value):
        return UnknownSecret() if is_unknown(reveal(value)) else Secret()
    if isinstance(value, str):
        return Unknown() if is_unknown(value) else mask(value)
    if isinstance(value, Mapping):
        return {name: kept(inner, mask) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [kept(inner, mask) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def kept_parts(value: Any, mask: Callable[[str], str]) -> Any:
    """Like `kept` for a map that is secret as a whole, but whose names are not: each part becomes a marker."""
    parts = reveal(value)
    if not isinstance(parts, Mapping):
        return kept(value, mask)
    return {name: kept(inner if is_secret(inner) else wrap_secret(inner), mask) for name, inner in parts.items()}


def strings_at(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string inside a value with its path (`spec.ports[0].name`); signatures of wire forms are none."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name != SIGNATURE:
                yield from strings_at(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from strings_at(inner, f"{path}[{index}]")


def strings(value: Any) -> Iterator[str]:
    """Every string inside a value."""
    return (text for _, text in strings_at(value))


def unknown_paths(value: Any) -> Iterator[str]:
    """The path of every unknown inside a value."""
    return (path for path, text in strings_at(value) if is_unknown(text))


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A protobuf object as plain Python, names in order (protobuf has none), its wire forms left as they are."""
    return {name: _from_value(struct.fields[name]) for name in sorted(struct.fields)}


def _from_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return from_struct(value.struct_value)
    if kind == "list_value":
        return [_from_value(item) for item in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Plain Python as a protobuf object; unknowns in any form become the sentinel."""
    struct = struct_pb2.Struct()
    for name, value in values.items():
        _set_value(struct.fields[name], value)
    return struct


def _set_value(target: struct_pb2.Value, value: Any) -> None:
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, (int, float)):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = SENTINEL if is_unknown(value) else value
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        for name, inner in value.items():
            _set_value(target.struct_value.fields[name], inner)
    else:
        target.list_value.SetInParent()
        for inner in value:
            _set_value(target.list_value.values.add(), inner)
