"""What a finished move leaves to be written into the stack file: the
slots of both shards, and the receipt that says so.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.databases.slots import runs
from app.reshard.journal import Record


def receipt(record: Record) -> str:
    """`{slots: [300-333], from: 0, to: 1, epoch: 1001}`, an entry of the stack file's `database.moves`."""
    return f"{{slots: {_ranges(record.slots)}, from: {record.source}, to: {record.target}, epoch: {record.epoch}}}"


def edit(record: Record, owned: dict[int, list[int]]) -> str:
    """The stack file's edit after a finished move, as YAML. `owned`:
    the slots of both shards by their ids, of Postgres' word.
    """
    lines = [
        "# Into the stack file (docs/runbooks/move-slots.md); each shard keeps its other settings.",
        "hal9:shards:",
        *(f"  - {{id: {shard}, slots: {_ranges(slots)}}}" for shard, slots in sorted(owned.items())),
        "hal9:database:",
        f"  mapEpoch: {record.epoch}",
        "  moves:",
        f"    - {receipt(record)}",
    ]
    return "\n".join(lines)


def _ranges(slots: Iterable[int]) -> str:
    """Slots as the stack file writes them: `[0-299, 334-334]`."""
    return "[{}]".format(", ".join(f"{run.start}-{run.end}" for run in runs(slots)))
