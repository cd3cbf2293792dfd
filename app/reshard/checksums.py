"""Comparing two copies of some slots, chunk by chunk; a chunk is one slot of one table."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import asyncpg

from app.reshard.replication import TABLES

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


def differences(one: Chunks, other: Chunks) -> list[str]:
    """Each chunk in which the copies differ, in words."""
    return [
        f"{table}, slot {slot}: {_rows(one.get((table, slot)))} against {_rows(other.get((table, slot)))}"
        for table, slot in sorted(one.keys() | other.keys())
        if one.get((table, slot)) != other.get((table, slot))
    ]


def _rows(chunk: Chunk | None) -> str:
    return "no rows" if chunk is None else f"{chunk.rows} rows ({chunk.digest[:8]})"


def summary(found: Chunks) -> dict[str, int | str]:
    """All chunks in one digest, for the record of the move."""
    text = "".join(f"{table} {slot} {chunk.rows} {chunk.digest}\n" for (table, slot), chunk in sorted(found.items()))
    return {
        "chunks": len(found),
        "rows": sum(chunk.rows for chunk in found.values()),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
