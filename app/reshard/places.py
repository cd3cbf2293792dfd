"""Which instance a shard's primary is: a stream is whole only as long as both its ends stay the same ones.

A target that failed over resumes from the position that its replica had, while the source's replication slot may have
confirmed a later one, and PostgreSQL says nothing of the gap (patroni#1749 is of this kind). A source that failed over
has lost the slot. So each step writes down where it was made, and a later run looks before it goes on.
"""

from __future__ import annotations

import asyncpg


async def place_of(connection: asyncpg.Connection) -> str:
    """The instance that a connection is to: its system's identifier and its timeline, which a promotion raises."""
    row = await connection.fetchrow(
        "SELECT system_identifier::text AS system, current_timeline() AS timeline FROM pg_control_system()"
    )
    return f"{row['system']}/{row['timeline']}"
