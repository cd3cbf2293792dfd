"""Instance types: where each is sold, and its size."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from facts.table import table


@dataclass(frozen=True)
class Size:
    """vCPUs, GiB of memory, and processor architecture (amd64 or arm64)."""

    vcpus: int
    memory_gib: float
    architecture: str


def source() -> str:
    """Where the offerings were taken from, as a finding names it."""
    return table("offerings").cited


def regions() -> list[str]:
    """The AWS regions whose offerings are known."""
    return sorted(table("offerings").content)


def zones(aws_region: str) -> list[str] | None:
    """The zones of an AWS region, or None where the region is in no source."""
    known = table("offerings").content.get(aws_region)
    return None if known is None else [aws_region + letter for letter in known["zones"]]


def zones_selling(aws_region: str, instance_type: str) -> frozenset[str] | None:
    """The zones of an AWS region in which a type is sold; empty: in none. None where the region is in no source."""
    if aws_region not in table("offerings").content:
        return None
    return _sold(aws_region).get(instance_type, frozenset())


def types_sold(aws_region: str, wanted: Sequence[str]) -> list[str]:
    """The types sold in all `wanted` zones of an AWS region."""
    return sorted(name for name, where in _sold(aws_region).items() if set(wanted) <= where)


def size(instance_type: str) -> Size | None:
    """A type's size, or None where no source has it."""
    known = table("sizes").content.get(instance_type)
    return None if known is None else Size(int(known[0]), known[1], known[2])


def alike(instance_type: str, aws_region: str, wanted: Sequence[str], but: Sequence[str] = ()) -> list[str]:
    """Other types of the same size and kind that are sold in all
    `wanted` zones, none of `but`: the nearest generation first.
    """
    mine = size(instance_type)
    if mine is None or aws_region not in table("offerings").content:
        return []
    found = [
        name
        for name in types_sold(aws_region, wanted)
        if name not in {instance_type, *but} and size(name) == mine and name[0] == instance_type[0] and _plain(name)
    ]
    return sorted(
        found, key=lambda name: (abs(_generation(name) - _generation(instance_type)), -_generation(name), name)
    )


def nearest(instance_type: str, aws_region: str, wanted: Sequence[str], but: Sequence[str] = ()) -> str | None:
    """The first of those that are alike."""
    return next(iter(alike(instance_type, aws_region, wanted, but)), None)


def _generation(name: str) -> int:
    return int(name[1])


def _plain(name: str) -> bool:
    """Without local disks, faster networks or other extras that cost: m6i, m6a, m6g, but not m6idn."""
    return name.partition(".")[0][2:] in ("", "i", "a", "g")


@functools.cache
def _sold(aws_region: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for family, by_zones in table("offerings").content[aws_region]["types"].items():
        for letters, sizes in by_zones.items():
            where = frozenset(aws_region + letter for letter in letters)
            found.update({f"{family}.{one}": where for one in sizes.split()})
    return found
