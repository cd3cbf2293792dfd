"""Slots, the thousand parts of the users' hash: as numbers,
as ranges, as text, and whether ranges give each an owner.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from app.deployment import SLOTS, KeyRange


def numbers(ranges: Iterable[KeyRange]) -> Iterator[int]:
    """Every slot of `ranges`, in their order."""
    for each in ranges:
        yield from range(each.start, each.end + 1)


def runs(slots: Iterable[int]) -> list[KeyRange]:
    """Slots as the fewest ranges, in order."""
    found: list[KeyRange] = []
    for slot in sorted(slots):
        if found and found[-1].end == slot - 1:
            found[-1] = KeyRange(start=found[-1].start, end=slot)
        else:
            found.append(KeyRange(start=slot, end=slot))
    return found


def describe(slots: Iterable[int]) -> str:
    """Slots as a person writes them: `0-333, 400`."""
    return ", ".join(f"{run.start}-{run.end}" if run.start != run.end else str(run.start) for run in runs(slots))


def parse(text: str) -> list[int]:
    """`describe`'s text as slots, in order. Raises ValueError
    where it is another, or has none or others than 0 to 999.
    """
    slots: set[int] = set()
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            slots |= set(range(int(first), int(last or first) + 1))
    except ValueError:
        raise ValueError(f"{text!r} is not of the form 300-333,400") from None
    if not slots or min(slots) < 0 or max(slots) >= SLOTS:
        raise ValueError(f"{text!r} has no slots, or some outside 0-{SLOTS - 1}")
    return sorted(slots)


class Cover(NamedTuple):
    """How ranges, counted by their place in a list, cover the slots.

    `owner` is each slot's first range, `outside` are ranges that are none within 0 to 999, `overlaps` the others that
    have slots of an earlier one, with those slots; `free` are the slots that none has.
    """

    owner: dict[int, int]
    outside: list[int]
    overlaps: list[tuple[int, list[int]]]
    free: list[int]


def cover(ranges: Sequence[KeyRange]) -> Cover:
    """How `ranges` cover the slots: each once, where nothing is outside, overlaps or is free."""
    owner: dict[int, int] = {}
    outside: list[int] = []
    overlaps: list[tuple[int, list[int]]] = []
    for place, each in enumerate(ranges):
        if not 0 <= each.start <= each.end < SLOTS:
            outside.append(place)
            continue
        taken = [slot for slot in numbers([each]) if slot in owner]
        if taken:
            overlaps.append((place, taken))
        for slot in numbers([each]):
            owner.setdefault(slot, place)
    return Cover(owner, outside, overlaps, [slot for slot in range(SLOTS) if slot not in owner])
