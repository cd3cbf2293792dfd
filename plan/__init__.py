"""The deployment program run by an embedded engine: no cloud, no credentials, no CLI.

`plan.run` gives a `Plan`: every resource that `pulumi up` would create, judged as the real engine judges it.
`python -m plan preview` prints one.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plan.errors import PlanError, ProgramFailed, ProjectError, Refusal, Refused
    from plan.program import run
    from plan.record import Invoke, Plan, Resource
    from plan.values import Secret, Unknown, UnknownSecret

__all__ = [
    "Invoke",
    "Plan",
    "PlanError",
    "ProgramFailed",
    "ProjectError",
    "Refusal",
    "Refused",
    "Resource",
    "Secret",
    "Unknown",
    "UnknownSecret",
    "run",
]
_PLACES = {
    "plan.errors": ("PlanError", "ProgramFailed", "ProjectError", "Refusal", "Refused"),
    "plan.program": ("run",),
    "plan.record": ("Invoke", "Plan", "Resource"),
    "plan.values": ("Secret", "Unknown", "UnknownSecret"),
}


def __getattr__(name: str) -> Any:
    """Each when it is first asked for: a command begins before Pulumi is imported, which takes a second."""
    for module, names in _PLACES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
