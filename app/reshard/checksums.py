"""Comparing two copies of some slots, chunk by chunk; a chunk is one slot of one table."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import asyncpg

from app.reshard.tables import TABLES

KEYS = {"users": "user_id", "items": "user_id, key", "idempotency_keys": "user_id, key"}


class Chunk(NamedTuple):
    """One slot's rows of one table: how many, and the digest of all of them in the order of their key."""

    rows: int
    digest: str


Chunks = dict[tuple[str, int], Chunk]


async def chunks(connection: asyncpg.Connection, slots: list[int]) -> Chunks:
    """The chunks of `slots` that have rows, as the connection's transaction sees them."""
    found: Chunks = {}
    await connection.execute("SET LOCAL timezone = 'UTC'")
    for table in TABLES:
        rows = await connection.fetch(
            f"SELECT slot, count(*) AS number, md5(string_agg(md5(t::text), '' ORDER BY {KEYS[table]})) AS digest "
            f"FROM {table} t WHERE slot = ANY ($1) GROUP BY slot",
            slots,
        )
        for row in rows:
            found[table, row["slot"]] = Chunk(row["number"], row["digest"])
    return found


def differing(one: Chunks, other: Chunks) -> list[tuple[str, int]]:
    """The table and slot of each chunk in which the copies differ."""
    return [chunk for chunk in sorted(one.keys() | other.keys()) if one.get(chunk) != other.get(chunk)]


async def rows_that_differ(
    one: asyncpg.Connection, other: asyncpg.Connection, table: str, slot: int, most: int = 5
) -> list[str]:
    """The keys of rows of one chunk that the owner has and the copy has not, or otherwise, or that differ."""
    query = f"SELECT concat_ws(' ', {KEYS[table]}) AS key, md5(t::text) AS digest FROM {table} t WHERE slot = $1"
    here, there = [{row["key"]: row["digest"] for row in await side.fetch(query, slot)} for side in (one, other)]
    found = [
        f"{table} {key}: "
        + ("not in the copy" if key not in there else "not at the owner" if key not in here else "differs")
        for key in sorted(here.keys() | there.keys())
        if here.get(key) != there.get(key)
    ]
    return found[:most] + ([f"and {len(found) - most} more in slot {slot}"] if len(found) > most else [])


def summary(found: Chunks) -> dict[str, int | str]:
    """All chunks in one digest, for the record of the move."""
    text = "".join(f"{table} {slot} {chunk.rows} {chunk.digest}\n" for (table, slot), chunk in sorted(found.items()))
    return {
        "chunks": len(found),
        "rows": sum(chunk.rows for chunk in found.values()),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
