"""What a plan refuses. The text of each error is the whole message for the operator; no traceback is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class PlanError(Exception):
    """There is no plan. `str()` is the whole message; secrets are masked in it."""


class ProjectError(PlanError):
    """The project or the stack file cannot be read: it is missing, or no YAML."""


class ProgramFailed(PlanError):
    """The program raised. The message has the program's own frames and the exception."""


@dataclass(frozen=True, order=True)
class Refusal:
    """One thing that the real engine or a provider would refuse: of which resource, at which property, and why."""

    name: str
    type: str
    path: str
    message: str
    urn: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.type}){f' {self.path}' if self.path else ''}: {self.message}"


class Refused(PlanError):
    """The program ran, and what it asks for would be refused. `refusals` holds all of it."""

    def __init__(self, stack: str, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(sorted(set(refusals)))
        count = len(self.refusals)
        lines = [f"  {refusal}" for refusal in self.refusals]
        head = f"{stack} has {count} {'problem' if count == 1 else 'problems'}; it would not deploy."
        super().__init__("\n".join([head, *lines]))
