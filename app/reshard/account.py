"""A role for each stream of a move: made by it, able to read what it copies and nothing else, dropped by it.

What a subscription connects with is kept by the receiving server and may reach its log. So it opens nothing once the
move is over, and never was an account that anybody else uses.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import asyncpg

from app.databases.scram import verifier
from app.reshard.tables import TABLES


@dataclass(frozen=True)
class Account:
    """A role's name and password."""

    name: str
    password: str


async def make(connection: asyncpg.Connection, name: str) -> Account:
    """Make the role, or give the one that an earlier run made a new password."""
    account = Account(name, secrets.token_urlsafe(24))
    on_rds = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_replication')")
    async with connection.transaction():
        known = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name)
        verb, may = ("ALTER", "") if known else ("CREATE", "" if on_rds else "REPLICATION")
        await connection.execute(f"{verb} ROLE {name} LOGIN {may} PASSWORD '{verifier(account.password)}'")
        if on_rds:
            await connection.execute(f"GRANT rds_replication TO {name}")
        await connection.execute(f"GRANT CONNECT ON DATABASE {await _database(connection)} TO {name}")
        await connection.execute(f"GRANT USAGE ON SCHEMA public TO {name}")
        await connection.execute(f"GRANT SELECT ON {', '.join(TABLES)}, move_markers TO {name}")
    return account


async def drop(connection: asyncpg.Connection, name: str) -> None:
    """Remove the role and what it may do; nothing where there is none."""
    if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name):
        async with connection.transaction():
            await connection.execute(f"REVOKE ALL ON {', '.join(TABLES)}, move_markers FROM {name}")
            await connection.execute(f"REVOKE USAGE ON SCHEMA public FROM {name}")
            await connection.execute(f"REVOKE CONNECT ON DATABASE {await _database(connection)} FROM {name}")
            await connection.execute(f"DROP ROLE {name}")


async def _database(connection: asyncpg.Connection) -> str:
    return str(await connection.fetchval("SELECT quote_ident(current_database())"))
