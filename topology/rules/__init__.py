"""What no single setting can see: rules between the parts of a stack file, by subject.

Each rule yields every mistake that it finds, at the setting that an operator would change, and knows nothing of the
others. A mistake names in `rests_on` the other settings that it was judged by: where one of those was refused already,
the mistake may be no more than its echo, and is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator

from topology.rules import capacity, edge, network, offerings, sessions, shards
from topology.stackfile import Mistake
from topology.topology import Topology

RULES = (*network.RULES, *shards.RULES, *sessions.RULES, *capacity.RULES, *edge.RULES, *offerings.RULES)


def mistakes(topology: Topology) -> Iterator[Mistake]:
    """Every mistake between the parts of `topology`."""
    for rule in RULES:
        yield from rule(topology)
