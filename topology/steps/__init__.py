"""Which edits of a stack file are steps that the deployment can take without losing a user's data, and which are not.

A small state machine, pure like the rest of `topology/`: from the topology that stands to the one that is wanted. It is
asked by `make diff`, by the policy `steps-allowed`, and by CI. An edit that is refused names its way: the procedure
that gets there in steps that are allowed. `--accept` lets one through with a reason; the report then says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from topology.steps import places, regions, sessions, shards, versions
from topology.steps.edit import Acceptance, Edit, Refusal
from topology.topology import Topology

RULES = (*places.RULES, *regions.RULES, *shards.RULES, *sessions.RULES, *versions.RULES)


def refusals(before: Topology, after: Topology, now: datetime) -> list[Refusal]:
    """Everything that stands between two topologies, in the order of the rules; empty where the edit is a step."""
    edit = Edit(before, after, now)
    return list(dict.fromkeys(refusal for rule in RULES for refusal in rule(edit)))


def unaccepted(found: list[Refusal], acceptances: list[Acceptance], stack: str) -> Iterator[Refusal]:
    """The refusals that no acceptance for this stack names."""
    accepted = {one.path for one in acceptances if one.stack == stack}
    return (refusal for refusal in found if refusal.path not in accepted)


__all__ = ["RULES", "Acceptance", "Edit", "Refusal", "refusals", "unaccepted"]
