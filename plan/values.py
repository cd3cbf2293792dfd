"""Property values as they travel between program and engine: unknowns, secrets, assets; and as the plan keeps them.

On the wire (protobuf) an unknown is a sentinel string and a secret an object with a signature. In a plan they
are `Unknown` and `Secret`, strings that read `[unknown]` and `[secret]`: what a secret is never enters a plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import pulumi
from pulumi.runtime import rpc

SIGNATURE = rpc._special_sig_key
SECRET_SIGNATURE = rpc._special_secret_sig
ASSETS = (rpc._special_asset_sig, rpc._special_archive_sig)
SENTINEL = rpc.UNKNOWN


class Marker(str):
    """A string that stands for a value that a plan does not hold."""

    TEXT = ""

    def __new__(cls) -> Self:
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


def kept(value: Any) -> Any:
    """A wire value as a plan keeps it: secrets and unknowns as markers, whole floats as ints."""
    if is_secret(value):
        return UnknownSecret() if is_unknown(reveal(value)) else Secret()
    if is_unknown(value):
        return Unknown()
    if isinstance(value, Mapping):
        return {name: kept(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [kept(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def strings(value: Any) -> Iterator[str]:
    """Every string inside a value, names of maps left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from strings(inner)


def unknown_paths(value: Any, path: str = "") -> Iterator[str]:
    """The path of every unknown inside a value."""
    if is_unknown(reveal(value)):
        yield path
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from unknown_paths(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from unknown_paths(inner, f"{path}[{index}]")
