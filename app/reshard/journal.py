"""The record of a move, in the `moves` table of the source: where it is, so that any later run can go on."""

from __future__ import annotations

import enum
import uuid
from typing import Any
from uuid import UUID

import asyncpg
import msgspec


class Step(enum.StrEnum):
    """What a move does next; the last ones are ends."""

    COPY = "copy"
    COMPARE = "compare"
    OPEN_WAY_BACK = "open the way back"
    SWITCH = "switch"
    CLOSE_WAY_OUT = "close the way out"
    COMPARE_BACK = "compare back"
    REPAIR = "repair"
    SWITCHED = "switched"
    SWITCH_BACK = "switch back"
    FINISH = "finish"
    CLEAN_TARGET = "clean the target"
    ABORT = "abort"
    FINISHED = "finished"
    REVERSED = "reversed"
    ABORTED = "aborted"


ENDS = frozenset({Step.FINISHED, Step.REVERSED, Step.ABORTED})
"""Nothing is left to do."""
BEFORE_SWITCH = (Step.COPY, Step.COMPARE, Step.OPEN_WAY_BACK, Step.SWITCH)
"""A move at one of these can be aborted, as long as the hand-over has not happened."""


class Record(msgspec.Struct):
    """One move: its two shards and slots, the step that comes next, the epoch of its hand-over, what was measured."""

    id: UUID
    source: int
    target: int
    slots: list[int]
    step: Step
    epoch: int
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """The beginning of the names of its publications, replication slots and subscriptions."""
        return f"hal9_move_{self.id.hex[:12]}"


def _record(row: asyncpg.Record) -> Record:
    return Record(
        row["id"],
        row["source"],
        row["target"],
        list(row["slots"]),
        Step(row["step"]),
        row["epoch"],
        msgspec.json.decode(row["facts"]),
    )


async def begin(source: asyncpg.Connection, source_id: int, target_id: int, slots: list[int], epoch: int) -> Record:
    """Write the record of a new move."""
    record = Record(uuid.uuid4(), source_id, target_id, slots, Step.COPY, epoch, {})
    await source.execute(
        "INSERT INTO moves (id, source, target, slots, step, epoch) VALUES ($1, $2, $3, $4, $5, $6)",
        record.id,
        source_id,
        target_id,
        slots,
        record.step.value,
        epoch,
    )
    return record


async def save(source: asyncpg.Connection, record: Record) -> None:
    """Write step and facts."""
    await source.execute(
        "UPDATE moves SET step = $2, facts = $3, epoch = $4, updated_at = now() WHERE id = $1",
        record.id,
        record.step.value,
        msgspec.json.encode(record.facts).decode(),
        record.epoch,
    )


async def find(source: asyncpg.Connection, move: UUID | None = None, unfinished: bool = False) -> list[Record]:
    """The moves out of this shard, newest first: the one with this id, or those that are not at an end."""
    rows = await source.fetch(
        "SELECT * FROM moves WHERE ($1::uuid IS NULL OR id = $1) AND NOT ($2 AND step = ANY ($3)) "
        "ORDER BY started_at DESC",
        move,
        unfinished,
        [step.value for step in ENDS],
    )
    return [_record(row) for row in rows]
