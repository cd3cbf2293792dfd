"""The deployment program run by an embedded engine: no cloud, no credentials, no CLI.

`plan.run` gives a `Plan`: every resource that `pulumi up` would create, judged as the real engine judges it.
`python -m plan preview` prints one.
"""

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
