"""A whole region dies, or is cut off and lives; its shards are promoted elsewhere and come home."""

from __future__ import annotations

from lab import homecoming
from lab.faults.fault import Say, victim
from lab.lab import Lab


def kill_region(lab: Lab, say: Say) -> None:
    """All servers of the region are killed, and started again."""
    region = victim(lab)
    parts = lab.rack.of_region(region)
    for part in reversed(parts):
        part.kill()
    say(f"{region}: {len(parts)} servers killed")


def revive_region(lab: Lab, say: Say) -> None:
    """Start its servers. Shards that were promoted elsewhere
    meanwhile are rebuilt at home, and switched back at last.
    """
    with lab.supervisor.paused():
        _bring_home(lab, say)


def isolate(lab: Lab, say: Say) -> None:
    """The region lives and is cut off from the others."""
    lab.link(_around(lab), cut=True)
    say(f"{victim(lab)} is cut off from the other regions, and lives")


def rejoin(lab: Lab, say: Say) -> None:
    """The region is reached again, and its databases come home."""
    with lab.supervisor.paused():
        lab.link(_around(lab), cut=False)
        _bring_home(lab, say)


def _around(lab: Lab) -> list[tuple[str, str]]:
    """Every link of the victim, both ways."""
    others = [region for region in lab.layout.regions if region != victim(lab)]
    return [pair for other in others for pair in ((other, victim(lab)), (victim(lab), other))]


def _bring_home(lab: Lab, say: Say) -> None:
    region = victim(lab)
    for line in lab.supervisor.told:
        say(line)
    lab.supervisor.told.clear()
    moved = [s for s in lab.topology.shards if s.home == region and lab.supervisor.primaries[s.id].region != region]
    rebuilt = [part for shard in moved for part in lab.rack.of_shard(shard)]
    for shard in moved:
        homecoming.rebuild(lab, shard)
    down = [part for part in lab.rack.of_region(region) if part.state != "up" and part not in rebuilt]
    lab.start_together(down, lambda _name, _state: None)
    say(f"{region}: its servers are back")
    for shard in moved:
        homecoming.bring_home(lab, shard, say)
