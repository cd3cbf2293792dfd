"""The initial copy of a stream: how far it is, and why it does not get on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.reshard.replication import Stream, StreamError

POLL_SECONDS = 0.1
TELL_SECONDS = 5.0
"""Between two words on how far it is."""
FAILURES = 2
"""Errors of the receiver's worker, counted since the copy began, after which it is given up: it tries again by itself,
and a constraint or a full disk does not go away."""


async def copy(stream: Stream, tell: Callable[[str], Awaitable[None]]) -> None:
    """Wait until every table is copied. Raises: StreamError with the worker's trouble where there is one."""
    began = told = time.monotonic()
    before = await _errors(stream)
    while not await stream.copied():
        errors = await _errors(stream) - before
        if errors >= FAILURES:
            raise StreamError(
                f"{stream.name}: the copy failed {errors} times on shard {stream.receiver.shard.id}; its log has why "
                "(a constraint, a full disk). Mend it and run again, or abort"
            )
        kept = await _slot(stream)
        if kept in {"lost", "unreserved"}:
            raise StreamError(
                f"{stream.name}: shard {stream.sender.shard.id} kept more WAL for it than "
                "max_slot_wal_keep_size allows "
                f"(the slot is {kept}): abort, raise the limit or move fewer slots"
            )
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            rows, size = await _progress(stream)
            rate = size / 2**20 / (told - began)
            await tell(f"copying: {rows} rows, {size / 2**20:.0f} MiB so far of the tables under way, {rate:.1f} MiB/s")
        await asyncio.sleep(POLL_SECONDS)


async def _errors(stream: Stream) -> int:
    found: int | None = await stream.receiver.connection.fetchval(
        "SELECT apply_error_count + sync_error_count FROM pg_stat_subscription_stats WHERE subname = $1", stream.name
    )
    return found or 0


async def _slot(stream: Stream) -> str | None:
    found: str | None = await stream.sender.connection.fetchval(
        "SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1", stream.name
    )
    return found


async def _progress(stream: Stream) -> tuple[int, int]:
    row = await stream.receiver.connection.fetchrow(
        "SELECT coalesce(sum(tuples_processed), 0)::bigint AS rows, coalesce(sum(bytes_processed), 0)::bigint AS bytes "
        "FROM pg_stat_progress_copy WHERE datname = current_database()"
    )
    return row["rows"], row["bytes"]
