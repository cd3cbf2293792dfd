"""Which edits of a stack file are steps that the deployment can take without losing a user's data, and which are not.

A small state machine, pure like the rest of `topology/`: from the topology that stands to the one that is wanted. It is
asked by `make diff`, by the policy `steps-allowed`, and by the program itself of what its own stack recorded
(`standing`). An edit that is refused names its way: the procedure that gets there in steps that are allowed.
`--accept`, or `accepted` in the stack file, lets one through with a reason; the report then says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from topology.settings import Acceptance
from topology.steps import credentials, places, regions, sessions, shards, versions
from topology.steps.edit import Edit, Refusal
from topology.topology import Topology

RULES = (*places.RULES, *regions.RULES, *shards.RULES, *sessions.RULES, *credentials.RULES, *versions.RULES)


@dataclass(frozen=True)
class Decision:
    """What stands in an edit's way, what was let through with its reason, and acceptances of nothing."""

    refused: tuple[Refusal, ...]
    accepted: tuple[tuple[Refusal, str], ...]
    unused: tuple[Acceptance, ...]


def refusals(before: Topology, after: Topology, now: datetime) -> list[Refusal]:
    """Everything that stands between two topologies, in the order of the rules; empty where the edit is a step."""
    edit = Edit(before, after, now)
    return list(dict.fromkeys(refusal for rule in RULES for refusal in rule(edit)))


def decided(before: Topology, after: Topology, now: datetime, given: Iterable[Acceptance] = ()) -> Decision:
    """The refusals of an edit, without those that `given` lets through, or `after` and not yet `before`."""
    fresh = [*given, *(one for one in after.accepted if one not in before.accepted)]
    reasons = {one.path: one.reason for one in fresh if one.stack == after.stack}
    found = refusals(before, after, now)
    paths = {refusal.path for refusal in found}
    return Decision(
        tuple(refusal for refusal in found if refusal.path not in reasons),
        tuple((refusal, reasons[refusal.path]) for refusal in found if refusal.path in reasons),
        tuple(one for one in fresh if one.stack != after.stack or one.path not in paths),
    )


__all__ = ["RULES", "Acceptance", "Decision", "Edit", "Refusal", "decided", "refusals"]
