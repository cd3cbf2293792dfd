"""A weak value put into one place of a stack."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from plan.record import Resource
from policies.stack import Stack

GONE = "(taken out)"
"""The weakest value of a field whose absence is weakest."""

Rows = tuple[tuple[str, tuple[tuple[Any, ...], ...]], ...]
"""By type: path, weakest value, reference, and where there are any part of a name and why it may pass."""


@dataclass(frozen=True)
class Weakening:
    """`value` at `path` of one resource of `type` (the first
    whose name has `name`). `harmless` says why it may pass.
    """

    type: str
    path: str
    value: Any
    reference: str
    name: str = ""
    harmless: str = ""

    def of(self, stack: Stack) -> Stack | None:
        """The stack with the weak value in; None where no resource of it has the place."""
        for resource in stack.of(self.type):
            if self.name in resource.name and (changed := self._put(resource)) is not None:
                return Stack(tuple(changed if r is resource else r for r in stack.resources), stack.config)
        return None

    def _put(self, resource: Resource) -> Resource | None:
        if self.path in ("protect", "provider"):
            return replace(resource, **{self.path: self.value})
        inputs = copy.deepcopy(dict(resource.inputs))
        holder: Any = inputs
        *parents, last = (int(part) if part.isdigit() else part.replace("~", "/") for part in self.path.split("/"))
        for part in parents:
            if isinstance(holder, list) and isinstance(part, int) and part < len(holder):
                holder = holder[part]
            elif isinstance(holder, dict):
                holder = holder.setdefault(part, {})
            else:
                return None
        if self.value == GONE:
            if isinstance(holder, dict) and last not in holder:
                return None
            del holder[last]
        else:
            holder[last] = copy.deepcopy(self.value)
        sources = dict(resource.property_dependencies)
        if not parents:
            sources.pop(str(last), None)  # what is typed in comes from no resource
        return replace(resource, inputs=inputs, property_dependencies=sources)
