"""The rows of `slots`: fencing an owner, handing over, and taking back what a dead mover left fenced.

Every change is conditional on what the row says now, and the hand-over is decided by one update on the receiving
shard (`take_over`). Whoever revokes first (`revoke`) makes that update fail; so a fence may be lifted by anybody
who has revoked, whatever the mover is still about to do.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

import asyncpg

OWNER_STATES = ("owned", "fenced")
"""States of a slot in which this shard is its owner, whose rows are the truth: a fenced slot takes no writes yet still
has them. The others are `incoming` and `moved` (migrations/0001_schema.sql).
"""
IS_OWNER = "state IN ({})".format(", ".join(f"'{state}'" for state in OWNER_STATES))
"""The same, as a condition on a row of `slots`."""

NOT_SO = "U9007"
"""SQLSTATE of migrations/0004_moves.sql: a slot's row does not say what the step needs."""

MIGRATION_LOCK = 0x4A11_9000
"""Advisory lock of a shard's schema: held by whoever migrates it, shared by whoever moves its slots."""

EPOCHS = 1000
"""By how much a hand-over raises a slot's epoch. A promotion raises it by 1 (`open_primary` in
migrations/0003_promotion.sql), so the new owner outranks any promotion on the old one's side, also one that lost the
record of the hand-over."""


class OwnershipError(RuntimeError):
    """A slot's row does not say what this step needs. Nothing was changed."""


class Fence(NamedTuple):
    """A fence that is closed: the marker behind the last write before it, and the position reached."""

    marker: int
    position: str


class FenceBusy(RuntimeError):
    """A writer kept its slot longer than the fence may wait. Nothing was changed; try again."""


async def epoch_of(owner: asyncpg.Connection, slots: list[int]) -> int:
    """The newest epoch of `slots` where they are owned. Raises OwnershipError unless all are."""
    row = await owner.fetchrow(
        f"SELECT count(*) AS number, max(epoch) AS epoch FROM slots WHERE slot = ANY ($1) AND {IS_OWNER}",
        slots,
    )
    if row["number"] != len(slots):
        raise OwnershipError(f"of {len(slots)} slots {row['number']} are owned by this shard")
    epoch: int = row["epoch"]
    return epoch


async def owned_by(owner: asyncpg.Connection) -> list[int]:
    """The slots that this shard owns, in their order."""
    rows = await owner.fetch(f"SELECT slot FROM slots WHERE {IS_OWNER} ORDER BY slot")
    return [row["slot"] for row in rows]


async def arm(receiver: asyncpg.Connection, slots: list[int], move: UUID, peer: int) -> None:
    """Allow the receiver to take the slots over by `move`. Raises OwnershipError when it owns one already."""
    async with receiver.transaction():
        owned = await receiver.fetchval(f"SELECT count(*) FROM slots WHERE slot = ANY ($1) AND {IS_OWNER}", slots)
        if owned:
            raise OwnershipError(f"the receiving shard owns {owned} of the slots already")
        await receiver.execute(
            "INSERT INTO slots (slot, epoch, state, move, peer) SELECT unnest($1::smallint[]), 0, 'incoming', $2, $3 "
            "ON CONFLICT (slot) DO UPDATE SET state = 'incoming', move = $2, peer = $3, changed_at = now()",
            slots,
            move,
            peer,
        )


async def fence(owner: asyncpg.Connection, slots: list[int], move: UUID, peer: int) -> Fence:
    """Stop writes to the slots, once those in flight have ended. Slots this move fenced already stay so.

    Raises: FenceBusy, OwnershipError.
    """
    try:
        row = await owner.fetchrow("SELECT marker, lsn::text FROM fence_slots($1, $2, $3)", slots, move, peer)
    except asyncpg.LockNotAvailableError as error:
        raise FenceBusy(f"a writer kept its slot: {error}") from error
    except asyncpg.PostgresError as error:
        raise (OwnershipError(str(error)) if error.sqlstate == NOT_SO else error) from None
    return Fence(row["marker"], row["lsn"])


async def longest(owner: asyncpg.Connection) -> str:
    """The transaction that has been open longest on the owner, in words; empty where there is none."""
    row = await owner.fetchrow(
        "SELECT pid, application_name, state, extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds "
        "FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type "
        "= 'client backend' "
        "ORDER BY xact_start LIMIT 1"
    )
    if row is None:
        return ""
    return f"pid {row['pid']} ({row['application_name'] or 'unnamed'}, {row['state']}) for {row['seconds']} s"


async def lift(owner: asyncpg.Connection, move: UUID) -> int:
    """Let the owner take writes again; how many slots were fenced. Only after `revoke`, or when nothing was armed."""
    tag = await owner.execute(
        "UPDATE slots SET state = 'owned', move = NULL, peer = NULL, changed_at = clock_timestamp() "
        "WHERE state = 'fenced' AND move = $1",
        move,
    )
    return int(tag.split()[-1])


async def revoke(receiver: asyncpg.Connection, move: UUID) -> bool:
    """Make sure that the receiver cannot take over by `move` any more; False when it already has."""
    async with receiver.transaction():
        states = await receiver.fetch("SELECT state FROM slots WHERE move = $1 FOR UPDATE", move)
        if any(row["state"] in OWNER_STATES for row in states):
            return False
        await receiver.execute(
            "UPDATE slots SET state = 'moved', changed_at = now() WHERE move = $1 AND state = 'incoming'", move
        )
        return True


async def take_over(receiver: asyncpg.Connection, slots: list[int], move: UUID, epoch: int) -> None:
    """The hand-over: from here on the receiver is the owner. Raises OwnershipError when it was revoked."""
    try:
        await receiver.execute("SELECT take_slots_over($1, $2, $3)", slots, move, epoch)
    except asyncpg.PostgresError as error:
        raise (OwnershipError(str(error)) if error.sqlstate == NOT_SO else error) from None


async def has_taken_over(receiver: asyncpg.Connection, slots: list[int], move: UUID, epoch: int) -> bool:
    """Whether `take_over` of this move at `epoch` has happened."""
    number: int = await receiver.fetchval(
        f"SELECT count(*) FROM slots WHERE slot = ANY ($1) AND move = $2 AND epoch >= $3 AND {IS_OWNER}",
        slots,
        move,
        epoch,
    )
    return number == len(slots)


async def give_up(owner: asyncpg.Connection, slots: list[int], move: UUID, epoch: int) -> None:
    """Note on the old owner that the slots are elsewhere, since `epoch`. Only after the hand-over."""
    await owner.execute(
        "UPDATE slots SET state = 'moved', epoch = $3, move = $2, changed_at = clock_timestamp() "
        "WHERE slot = ANY ($1) AND state = 'fenced' AND move = $2",
        slots,
        move,
        epoch,
    )
