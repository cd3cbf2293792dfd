"""What a change means to users, as far as the topologies tell: who is
served elsewhere, whose rows move, who signs in again.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.databases.slots import describe
from topology.steps.edit import Edit
from topology.topology import Topology


def moved(before: Topology, after: Topology, edit: Edit) -> list[str]:
    """A sentence for each group of users."""
    return [*_countries(before, after), *_slots(edit), *_primaries(edit), *_sessions(edit)]


def _countries(before: Topology, after: Topology) -> Iterator[str]:
    ways: dict[tuple[str, str], list[str]] = {}
    for country in sorted(before.countries.keys() | after.countries.keys()):
        way = before.countries.get(country, before.default_region), after.countries.get(country, after.default_region)
        if way[0] != way[1]:
            ways.setdefault(way, []).append(country)
    for (one, other), countries in ways.items():
        yield f"users in {', '.join(countries)} go from {one} to {other}"
    if before.default_region != after.default_region:
        yield f"users of no listed country go from {before.default_region} to {after.default_region}"
    if before.weights != after.weights and before.regions.keys() == after.regions.keys():
        shares = ", ".join(f"{name} {before.weights[name]}% to {after.weights[name]}%" for name in after.weights)
        yield f"requests without a region are spread anew: {shares}"


def _slots(edit: Edit) -> Iterator[str]:
    for (source, target), slots in edit.moved_slots.items():
        share = len(slots) / 10
        yield f"{share:g}% of all users (slots {describe(slots)}) go from shard {source} to shard {target}"


def _primaries(edit: Edit) -> Iterator[str]:
    for before, after, _ in edit.shards:
        if before.at != after.at:
            slots = sum(keys.end + 1 - keys.start for keys in before.key_ranges)
            yield f"writes of {slots / 10:g}% of all users (shard {before.id}) go from {before.at} to {after.at}"


def _sessions(edit: Edit) -> Iterator[str]:
    kept = {key.id for key in edit.after.sessions.keyring if key.state != "retired"}
    for key in edit.before.sessions.keyring:
        if key.id not in kept and key.state == "active":
            yield f"everybody signs in again: sessions lie under {key.id}, which no pod can read any more"
    before, after = edit.before.sessions.ttl_seconds, edit.after.sessions.ttl_seconds
    if after < before:
        yield f"sessions end after {after} s instead of {before} s"
