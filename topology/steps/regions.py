"""A region comes at any time; it leaves when nothing and nobody lives there any more."""

from __future__ import annotations

from collections.abc import Iterator

from topology.steps.edit import Edit, Refusal
from topology.topology import Topology

WAY = (
    "docs/runbooks/change.md, A region leaves: `leaving: true` in a step of its own, wait for the sessions' lifetime, "
    "then take it out"
)


def left(edit: Edit) -> Iterator[Refusal]:
    """No shard, no copy and no user may live in a region that is taken out."""
    renamed = {r.aws_region: name for name, r in edit.after.regions.items() if name not in edit.before.regions}
    for region in edit.before.ordered_regions:
        if region.name in edit.after.regions:
            continue
        there = inhabitants(edit.before, region.name)
        if there:
            other = renamed.get(region.aws_region)
            what = f"is taken out, and a new one, {other}, is made in {region.aws_region}" if other else "is taken out"
            yield Refusal(f"regions.{region.name}", f"{what}, while there live {'; '.join(there)}", WAY)


def inhabitants(topology: Topology, region: str) -> list[str]:
    """What lives in a region, as a reader would say it."""
    found: list[str] = []
    for shard in topology.shards:
        places = topology.instances(shard)
        if any(place.region == region and place.primary for place in places):
            found.append(f"the primary of shard {shard.id}")
        elif shard.home == region:
            found.append(f"the home of shard {shard.id}")
        elif any(place.region == region for place in places):
            found.append(f"a copy of shard {shard.id}")
    found += [
        f"a copy of {other.name}'s sessions"
        for other in topology.others(region)
        if region in topology.session_replica_regions(other)
    ]
    if not topology.regions[region].leaving:
        countries = len(topology.regions[region].countries)
        found.append(f"users of {countries} {'country' if countries == 1 else 'countries'}" if countries else "users")
    return found


def new_leaving(edit: Edit) -> Iterator[Refusal]:
    """A region that comes serves."""
    for name, region in edit.after.regions.items():
        if region.leaving and name not in edit.before.regions:
            yield Refusal(f"regions.{name}.leaving", "a region comes and leaves at once", "Take the region out")


RULES = (left, new_leaving)
