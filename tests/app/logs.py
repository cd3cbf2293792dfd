"""What tests ask of a user's shard, on the ways that requests take: `Writes.call` and `Reads.fetch_owned`.

A user's log is an item whose value grows by a word with every append that is applied: a write that was lost, applied
twice or out of order shows in it, which it would not in an item that is overwritten.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg

from app.databases.databases import Call, Databases
from app.databases.floor import Floor
from app.items import ItemRepository
from lab.servers.postgres import PostgresServer

PROCEDURE = """
CREATE PROCEDURE append_to_log(
    in_slot smallint, at_epoch bigint, of_user uuid, word text, seconds float8, claimed text, asked bytea,
    INOUT outcome bytea, INOUT replayed boolean, INOUT lsn pg_lsn
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM fence(in_slot, at_epoch);
    outcome := claim(in_slot, of_user, claimed, asked);
    replayed := outcome IS NOT NULL;
    IF NOT replayed THEN
        INSERT INTO items (slot, user_id, key, value, content_type, version)
            VALUES (in_slot, of_user, 'log', convert_to(word || ' ', 'UTF8'), 'text/plain', 1)
            ON CONFLICT (slot, user_id, key) DO UPDATE
            SET value = items.value || EXCLUDED.value, version = items.version + 1;
        IF word = 'refused' THEN
            RAISE EXCEPTION 'refused after it was written';
        END IF;
        PERFORM pg_sleep(seconds);
        outcome := convert_to(word, 'UTF8');
        CALL record_result(in_slot, of_user, claimed, outcome);
    END IF;
    COMMIT;
    lsn := pg_current_wal_lsn();
END $$"""
"""As the procedures of app/migrations/0002_writes.sql are; it takes `seconds` before it commits."""

STATE = "SELECT s.state, {} AS answer FROM slots s WHERE s.slot = $1"


async def append(
    databases: Databases,
    user: UUID,
    word: str,
    *,
    seconds: float = 0,
    key: str | None = None,
    timeout: float | None = None,
) -> Call:
    """Append a word to the user's log under an idempotency key, of its own unless one is given."""
    return await databases.writes.call(
        user,
        "CALL append_to_log($1, $2, $3, $4, $5, $6, $7, NULL, NULL, NULL)",
        user,
        word,
        float(seconds),
        key or uuid.uuid4().hex,
        word.encode(),
        timeout=timeout,
    )


async def log(databases: Databases, user: UUID, floor: Floor | None = None) -> list[str]:
    """The words of the user's log, in the order in which they were applied."""
    item = await ItemRepository(databases).get(user, "log", floor)
    return [] if item is None else item.value.decode().split()


async def stored_log(server: PostgresServer, user: UUID) -> list[str]:
    """The same, as a server has it now."""
    connection = await asyncpg.connect(**server.dsn())
    try:
        value = await connection.fetchval("SELECT value FROM items WHERE user_id = $1 AND key = 'log'", user)
        return [] if value is None else value.decode().split()
    finally:
        await connection.close()


async def ask(databases: Databases, user: UUID, expression: str, *arguments: object, **how: Any) -> Any:
    """What `expression` is where the user's reads go; its arguments begin at $2."""
    rows = await databases.reads.fetch_owned(user, STATE.format(expression), *arguments, **how)
    return rows[0]["answer"]


async def read_at(databases: Databases, user: UUID, floor: Floor | None = None, timeout: float | None = None) -> int:
    """The port of the server that answers the user's reads."""
    port: int = await ask(databases, user, "current_setting('port')::int", floor=floor, timeout=timeout)
    return port


async def written_at(databases: Databases, user: UUID) -> int:
    """The port of the server that takes the user's writes."""
    call = await databases.writes.call(
        user, "SELECT current_setting('port')::int AS port, pg_current_wal_lsn() AS lsn FROM fence($1, $2)"
    )
    port: int = call.row["port"]
    return port


@contextlib.asynccontextmanager
async def writing(databases: Databases, user: UUID, server: PostgresServer, number: int = 1) -> AsyncIterator[None]:
    """So many writes of the user are under way meanwhile, each past the fence and on a connection of its own.

    They wait for a lock on the user's row, which `server` holds for as long as the block lasts.
    """
    locker = await asyncpg.connect(**server.dsn())
    await locker.execute(f"BEGIN; SELECT FROM users WHERE user_id = '{user}' FOR UPDATE")
    items = ItemRepository(databases)
    tasks = [asyncio.create_task(items.put(user, uuid.uuid4().hex, b"", timeout=30)) for _ in range(number)]
    try:
        async with asyncio.timeout(10):
            while await locker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < number:
                await asyncio.sleep(0.01)
        yield
    finally:
        await locker.execute("ROLLBACK")
        await locker.close()
        await asyncio.gather(*tasks)
