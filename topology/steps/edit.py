"""An edit of a stack file, and what stands in its way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from app.databases.slots import numbers
from app.deployment import SLOTS
from topology.settings import Region, Shard
from topology.topology import Topology


@dataclass(frozen=True)
class Refusal:
    """One edit that is no step: where in the stack file, what it would do, and the way that gets there."""

    path: str
    what: str
    way: str

    def __str__(self) -> str:
        return f"hal9:{self.path}: {self.what}. {self.way}"


@dataclass(frozen=True)
class Edit:
    """From the topology that stands, `before`, to the one that is wanted, `after`. `now` is when it is asked."""

    before: Topology
    after: Topology
    now: datetime

    @cached_property
    def regions(self) -> list[tuple[Region, Region]]:
        """The regions that stay, as they were and as they are to be."""
        return [(r, self.after.regions[r.name]) for r in self.before.ordered_regions if r.name in self.after.regions]

    @cached_property
    def shards(self) -> list[tuple[Shard, Shard, str]]:
        """The shards that stay, as they were and as they are to be, with the new one's path."""
        wanted = {shard.id: (number, shard) for number, shard in enumerate(self.after.shards)}
        return [
            (shard, wanted[shard.id][1], f"shards[{wanted[shard.id][0]}]")
            for shard in self.before.shards
            if shard.id in wanted
        ]

    @cached_property
    def gone_shards(self) -> list[tuple[int, Shard]]:
        """The shards that leave, with their place in the list as it was."""
        stay = {shard.id for shard in self.after.shards}
        return [(number, shard) for number, shard in enumerate(self.before.shards) if shard.id not in stay]

    @cached_property
    def moved_slots(self) -> dict[tuple[int, int], list[int]]:
        """The slots that change their owner, by the owners' ids."""
        found: dict[tuple[int, int], list[int]] = {}
        before, after = owners(self.before), owners(self.after)
        for slot in range(SLOTS):
            if before[slot] != after[slot]:
                found.setdefault((before[slot], after[slot]), []).append(slot)
        return found


def owners(topology: Topology) -> list[int]:
    """The id of each slot's shard."""
    found = [-1] * SLOTS
    for shard in topology.shards:
        for slot in numbers(shard.key_ranges):
            found[slot] = shard.id
    return found
