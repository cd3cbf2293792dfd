"""Taking up a move: connections to its two shards, a new one's preflight and record, those not yet at their end."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from app.databases import ownership
from app.databases.connect import connect
from app.databases.ownership import MIGRATION_LOCK
from app.databases.slots import describe
from app.deployment import Deployment
from app.reshard import journal, preflight
from app.reshard.journal import Record
from app.reshard.move import MoveError, Mover, Progress, silent
from app.reshard.replication import Side

ADVISORY_LOCK = 0x4A11_9002
"""Held on both shards by whoever moves slots: one mover at a time. Safety does not rest on it."""


@contextlib.asynccontextmanager
async def sides(deployment: Deployment, source_id: int, target_id: int) -> AsyncIterator[tuple[Side, Side]]:
    """Connections to the primaries of two shards, with the movers' lock on both.

    Raises: MoveError for shards the document does not name, or when another mover is at work.
    """
    shards = {shard.id: shard for shard in deployment.sharding.shards}
    if source_id == target_id or not {source_id, target_id} <= shards.keys():
        raise MoveError(f"the shards {source_id} and {target_id} are not two of {', '.join(map(str, shards))}")
    async with contextlib.AsyncExitStack() as stack:
        connections = {}
        for number in sorted((source_id, target_id)):
            connection = await connect(deployment, shards[number], application_name="hal9-reshard")
            stack.push_async_callback(connection.close)
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", ADVISORY_LOCK):
                raise MoveError(f"another mover is at work on shard {number}")
            # Shared, as any number of movers may be at work: only a migration has to wait, and is waited for.
            if not await connection.fetchval("SELECT pg_try_advisory_lock_shared($1)", MIGRATION_LOCK):
                raise MoveError(f"a migration is at work on shard {number}; try again when it has ended")
            connections[number] = connection
        yield Side(shards[source_id], connections[source_id]), Side(shards[target_id], connections[target_id])


async def begin(
    deployment: Deployment,
    source: Side,
    target: Side,
    slots: list[int],
    free_bytes: int | None,
    progress: Progress = silent,
) -> Mover:
    """Check everything and record a new move. Raises: PreflightError with all that stands in the way."""
    problems = await preflight.check(deployment, source, target, slots, free_bytes)
    if problems:
        raise preflight.PreflightError("nothing was changed:\n" + "\n".join(f"  {problem}" for problem in problems))
    # Beyond the map's too, which other slots' moves have raised: the
    # receipt must be newer than the map in the stack file.
    known = max(await ownership.epoch_of(source.connection, slots), deployment.sharding.epoch)
    epoch = known + ownership.EPOCHS
    record = await journal.begin(source.connection, source.shard.id, target.shard.id, slots, epoch)
    await progress(f"move {record.id}: slots {describe(slots)}, shard {source.shard.id} to shard {target.shard.id}")
    return Mover(deployment, source, target, record, progress)


async def unfinished(deployment: Deployment) -> list[Record]:
    """Every move of the deployment that is not at its end."""
    found: list[Record] = []
    for shard in deployment.sharding.shards:
        connection = await connect(deployment, shard, application_name="hal9-reshard")
        try:
            found += await journal.find(connection, unfinished=True)
        finally:
            await connection.close()
    return found
