"""Shards: who owns which slot, where the primary stands, and what must be made anew beside it."""

from __future__ import annotations

from collections.abc import Iterator

from app.databases.slots import describe
from topology.instances import Instance
from topology.settings import Shard
from topology.steps.edit import Edit, Refusal

MOVE = "docs/runbooks/move-slots.md: `python -m app.reshard` moves them while all serve, and prints what to write here"
PROMOTE = "docs/runbooks/region.md: promote the instance there, `pulumi refresh`, then write it here"


def left(edit: Edit) -> Iterator[Refusal]:
    """A shard that owns a slot holds its users' rows."""
    fresh = [shard.id for shard in edit.after.shards if shard.id not in {s.id for s in edit.before.shards}]
    for number, shard in edit.gone_shards:
        if shard.slots:
            also = f" and shard {fresh[0]} comes, empty" if fresh else ""
            yield Refusal(
                f"shards[{number}]",
                f"shard {shard.id} leaves{also}, while it owns slots {', '.join(shard.slots)}: its "
                "databases go with their rows",
                f"Move its slots first ({MOVE}); a shard without slots may leave",
            )


def slots_moved(edit: Edit) -> Iterator[Refusal]:
    """The stack file follows a finished move of slots: it says so by the receipt, and by a higher epoch."""
    gone = {shard.id for _, shard in edit.gone_shards}
    standing = set(edit.before.database.moves)
    for (source, target), slots in edit.moved_slots.items():
        if source in gone:
            continue  # the shard's own refusal says it
        if source == -1 or target == -1:
            continue
        path = next(f"shards[{n}].slots" for n, shard in enumerate(edit.after.shards) if shard.id == target)
        receipts = [
            move
            for move in edit.after.database.moves
            if move not in standing
            and (move.source, move.target) == (source, target)
            and edit.before.database.map_epoch < move.epoch <= edit.after.database.map_epoch
        ]
        received = {slot for move in receipts for slot in move.numbers}
        if missing := [slot for slot in slots if slot not in received]:
            yield Refusal(
                path,
                f"slots {describe(missing)} go from shard {source} to {target}, and no receipt in "
                "database.moves says that "
                "their rows have been moved: Postgres and the document would disagree",
                MOVE,
            )


def epoch(edit: Edit) -> Iterator[Refusal]:
    """Whoever holds an older map is told by its epoch."""
    before, after = edit.before.database.map_epoch, edit.after.database.map_epoch
    moved = bool(edit.moved_slots) and not edit.gone_shards
    promoted = any(one.at != other.at for one, other, _ in edit.shards)
    if after < before:
        yield Refusal("database.mapEpoch", f"{before} becomes {after}: Postgres refuses older maps", "It only grows")
    elif after == before and (moved or promoted):
        what = "slots change their owner" if moved else "a primary changes its place"
        yield Refusal(
            "database.mapEpoch",
            f"{what} and the epoch stays {before}: writers with the old map could not be told from those with the new",
            f"Write {before + 1}, or what the move printed",
        )


def homes(edit: Edit) -> Iterator[Refusal]:
    """A home is where the primary already stands: first the promotion, then the home."""
    for before, after, path in edit.shards:
        if after.home not in (before.home, before.at):
            yield Refusal(
                f"{path}.home",
                f"{before.home} becomes {after.home}, and the primary stands in {before.at}: a primary there would be "
                "another one, and empty",
                f"First `primary: {after.home}` in a step of its own ({PROMOTE}), then the home",
            )
        elif after.home not in (before.home, after.at):
            yield Refusal(
                f"{path}.primary",
                f"the home becomes {after.home} and the primary moves to {after.at} at once",
                "One after the other",
            )


def promoted(edit: Edit) -> Iterator[Refusal]:
    """A promotion is of an instance that is there, and every other instance is made anew from it."""
    for before, after, path in edit.shards:
        if before.at == after.at or (before.home != after.home and after.primary is None):
            continue
        standing = {place.name for place in edit.before.instances(before)}
        wanted = edit.after.instances(after)
        primary = next(place for place in wanted if place.primary)
        if primary.name not in standing:
            yield Refusal(
                f"{path}.primary",
                f"{before.at} becomes {after.at}, where no instance {primary.name} stands: it would be made, empty",
                PROMOTE,
            )
        stale = [place for place in wanted if not place.primary and place.name in standing]
        taken = _taken(edit, before, wanted)
        anew = [f"{place.place}: {place.generation + 1}" for place in stale]
        anew += [f"{place.place}: {before.generations[place.region]}" for place in taken]
        if stale:
            yield Refusal(
                f"{path}.generations",
                f"{', '.join(place.name for place in stale)} would follow another source, which AWS refuses",
                f"Write generations: {{{', '.join(anew)}}}: they are made beside the old ones",
            )
        elif taken:
            yield Refusal(
                f"{path}.generations",
                f"{', '.join(place.name for place in taken)} stood there before the promotion away from it, and "
                "was left standing: AWS refuses its name",
                f"Write generations: {{{', '.join(anew)}}}",
            )


def _taken(edit: Edit, before: Shard, wanted: tuple[Instance, ...]) -> list[Instance]:
    """The second instances at home that come again, under names that were in use when the primary stood there last.

    A place's generation grows with every promotion away from it; its second instance's must have grown as much.
    """
    if not edit.before.protect:
        return []  # what leaves is deleted, and its name is free
    standing = {place.name for place in edit.before.instances(before)}
    return [
        place
        for place in wanted
        if place.second and place.name not in standing and place.generation < before.generations.get(place.region, 1)
    ]


def generations(edit: Edit) -> Iterator[Refusal]:
    """A generation is a name that was never used; the primary has its name for as long as it is one."""
    for before, after, path in edit.shards:
        for place in sorted(before.generations.keys() | after.generations.keys()):
            old, new = before.generations.get(place, 1), after.generations.get(place, 1)
            if new < old:
                yield Refusal(
                    f"{path}.generations.{place}", f"{old} becomes {new}: an older instance's name", "It only grows"
                )
            elif new > old and before.at == after.at == place:
                yield Refusal(
                    f"{path}.generations.{place}",
                    f"{old} becomes {new}, where the primary stands: another would take its place, empty",
                    "Restore beside it and promote: docs/runbooks/change.md, A shard's database is restored",
                )


RULES = (left, slots_moved, epoch, homes, promoted, generations)
