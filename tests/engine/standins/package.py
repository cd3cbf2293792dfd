"""What one package's stand-in adds to the common behaviour: what comes to be, what is taken, what functions answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """What a create gives: the id, all outputs, and the name that no other of its type in its scope may have."""

    id: str
    outputs: dict[str, Any]
    physical_name: str = ""


class Package(Protocol):
    """One package. `config` is the inputs of the provider instance that the call came through."""

    name: str

    def scope(self, token: str, inputs: Values, config: Values) -> str:
        """Where a resource lives: the account and region, or the cluster."""
        ...

    def create(self, token: str, logical_name: str, inputs: Values, config: Values, serial: int) -> Made:
        """A new resource. `serial` differs each time the same logical name comes to be."""
        ...

    def update(self, token: str, before: Values, inputs: Values) -> dict[str, Any]:
        """The outputs after an update in place, from those before."""
        ...

    def replaces(self, token: str, changed: set[str]) -> set[str]:
        """Those of the changed inputs that only a new resource can have."""
        ...

    def functions(self) -> Mapping[str, Callable[[Values, Values], dict[str, Any]]]:
        """The functions that programs may call, by token: from arguments and configuration to result."""
        ...
