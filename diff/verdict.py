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
from topology.steps import Acceptance, Edit, Refusal, decided
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
    decision = decided(before[0], after[0], now, acceptances)
    return Verdict(
        after[0].stack,
        base,
        compare(before[1], after[1]),
        tuple(users.moved(before[0], after[0], Edit(before[0], after[0], now))),
        tuple(document.changes(before[1], after[1])),
        decision.refused,
        decision.accepted,
        decision.unused,
    )
