"""All that is said of a change: the two plans compared, the users,
the steps that are refused, and which were let through.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from diff import document, users
from diff.comparison import Change, Comparison, compare
from plan.record import Plan
from topology.steps import Acceptance, Edit, Refusal, refusals
from topology.topology import Topology


@dataclass(frozen=True)
class Verdict:
    """A change of a stack, told from `base`. `refused` stands
    in its way; `accepted` was let through, with its reason.
    """

    stack: str
    base: str
    comparison: Comparison
    users: tuple[str, ...]
    document: tuple[str, ...]
    refused: tuple[Refusal, ...]
    accepted: tuple[tuple[Refusal, str], ...]
    unused: tuple[Acceptance, ...]

    @property
    def protected(self) -> list[Change]:
        """What the engine will not delete or replace as long as it is protected."""
        return [change for change in self.comparison.changes if change.protected]

    @property
    def bared(self) -> list[Change]:
        """What nothing keeps from its end any longer."""
        return [change for change in self.comparison.changes if change.bared]

    @property
    def lost(self) -> list[Change]:
        """What takes data with it."""
        return [change for change in self.comparison.changes if change.lost]


def verdict(
    base: str,
    before: tuple[Topology, Plan],
    after: tuple[Topology, Plan],
    acceptances: Iterable[Acceptance],
    now: datetime,
) -> Verdict:
    """What becomes of a stack."""
    stack = after[0].stack
    given = list(acceptances)
    reasons = {one.path: one.reason for one in given if one.stack == stack}
    found = refusals(before[0], after[0], now)
    paths = {refusal.path for refusal in found}
    return Verdict(
        stack,
        base,
        compare(before[1], after[1]),
        tuple(users.moved(before[0], after[0], Edit(before[0], after[0], now))),
        tuple(document.changes(before[1], after[1])),
        tuple(refusal for refusal in found if refusal.path not in reasons),
        tuple((refusal, reasons[refusal.path]) for refusal in found if refusal.path in reasons),
        tuple(one for one in given if one.stack != stack or one.path not in paths),
    )
