"""Who may do what in a shard: the roles that the app and its
operators log in as, made by the master and then used without it.

`hal9_app` reads and writes rows. `hal9_owner` owns the tables: it migrates them and moves
slots. Neither has a password, so nobody logs in as these two: an account does, which is a
member of one of them (`hal9_app_1`). So a password is rotated with two accounts at work:
the new one is made, then used, and only then may the old one no longer log in.
"""

from __future__ import annotations

import asyncpg

from app.databases.credentials import APP, OWNER, Administration
from app.databases.scram import verifier

HAND_OVER_SECONDS = 2
"""How long a hand-over waits for a table's lock, and whoever comes behind
it in the queue; then nothing is changed, and the Job tries again.
"""
_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
_MAY_CREATE = """
SELECT has_database_privilege($1, $2, 'CREATE WITH GRANT OPTION')
    AND has_schema_privilege($1, 'public', 'CREATE WITH GRANT OPTION')"""
_MONITOR = "pg_monitor"
"""Both ask how far replicas are behind, which PostgreSQL tells its members alone."""
_OF_OWNER = ("pg_signal_backend", "pg_create_subscription", "rds_replication")
"""What a move of slots needs besides the tables, where the server has it: to end a stream's sender, to subscribe (from
PostgreSQL 16 on), and on RDS to replicate, which is an attribute of the role elsewhere."""
_LEFT = """
SELECT r.rolname FROM pg_auth_members m
JOIN pg_roles r ON r.oid = m.member JOIN pg_roles g ON g.oid = m.roleid
WHERE g.rolname = ANY ($1) AND r.rolcanlogin AND r.rolname <> ALL ($2) AND r.rolname ~ '_[0-9]+$' ORDER BY 1"""
"""Accounts that are not wanted any more. The master is a member too: PostgreSQL makes who creates a role one."""

_OF_MASTER = """
WITH me AS (SELECT oid FROM pg_roles WHERE rolname = current_user)
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'table' END
    AS kind, c.relname::text AS name, c.oid::regclass::text AS called
FROM pg_class c, me
WHERE c.relnamespace = 'public'::regnamespace AND c.relowner = me.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
    AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'e', 'i')
    )
UNION ALL
SELECT 'routine', p.proname::text, p.oid::regprocedure::text FROM pg_proc p, me
WHERE p.pronamespace = 'public'::regnamespace AND p.proowner = me.oid
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i')
    )
UNION ALL
SELECT 'type', y.typname::text, y.oid::regtype::text FROM pg_type y, me
WHERE y.typnamespace = 'public'::regnamespace AND y.typowner = me.oid AND y.typtype IN ('e', 'd')
    AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = y.oid AND d.deptype = 'e'
    )
ORDER BY 1, 2, 3"""
"""What the master made itself, as the app did before it had accounts. A
column's sequence goes with its table, an extension's objects stay its.
"""


async def make(master: asyncpg.Connection, wanted: Administration, database: str) -> list[str]:
    """Give the shard the accounts of `wanted` with their passwords, and let no other log in; what was done, in words.

    As the master, and as often as one likes. `database` is where the app's tables are or will be. No password is in any
    statement, so none reaches the server's log.
    """
    done: list[str] = []
    async with master.transaction():
        await _groups(master, database)
        for account in wanted.accounts:
            known = await master.fetchval(_EXISTS, account.username)
            verb = "ALTER" if known else "CREATE"
            await master.execute(f"{verb} ROLE {account.username} LOGIN PASSWORD '{verifier(account.password)}'")
            await master.execute(f"GRANT {account.role} TO {account.username}")
            if account.role == OWNER:  # what it makes belongs to the role, so that the next account may change it
                await master.execute(f"ALTER ROLE {account.username} SET role = '{OWNER}'")
            if not known:
                done.append(f"made {account.username}")
        left = await master.fetch(_LEFT, [APP, OWNER], [account.username for account in wanted.accounts])
        for name in (row["rolname"] for row in left):
            await master.execute(f"ALTER ROLE {name} NOLOGIN PASSWORD NULL")
            done.append(f"{name} may no longer log in")
        done += await _hand_over(master)
    return done


async def _hand_over(master: asyncpg.Connection) -> list[str]:
    """Give the owner what the master made before there was an owner; what was handed over, in words.

    The master is made a member, without which it may neither give away (it is no superuser on RDS) nor read
    what it gave: pods from before the accounts are still logged in as it until they have rolled.
    """
    found = await master.fetch(_OF_MASTER)
    if not found:
        return []
    await master.execute(f"SET LOCAL lock_timeout = '{HAND_OVER_SECONDS}s'")
    await master.execute(f"GRANT {OWNER} TO CURRENT_USER")
    for row in found:
        await master.execute(f"ALTER {row['kind']} {row['called']} OWNER TO {OWNER}")
    return [f"handed {row['kind']} {row['name']} to {OWNER}" for row in found]


async def _groups(master: asyncpg.Connection, database: str) -> None:
    """The two roles, and what each may do besides what a migration grants on its tables."""
    on_rds = await master.fetchval(_EXISTS, "rds_replication")
    replicates = "" if on_rds else "REPLICATION"
    # LOGIN, as a subscription's worker connects as its owner: from within, without a password.
    for name, attributes in ((APP, "NOLOGIN"), (OWNER, f"LOGIN CREATEROLE {replicates}")):
        if not await master.fetchval(_EXISTS, name):
            await master.execute(f"CREATE ROLE {name} {attributes}")
        await master.execute(f"GRANT {_MONITOR} TO {name}")
    for granted in _OF_OWNER:
        if await master.fetchval(_EXISTS, granted):
            # A move gives its stream's account the right to replicate on.
            on = " WITH ADMIN OPTION" if granted == "rds_replication" else ""
            await master.execute(f"GRANT {granted} TO {OWNER}{on}")
    await master.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
    await master.execute(f"GRANT CONNECT ON DATABASE {database} TO {APP}")
    await master.execute(f"GRANT USAGE ON SCHEMA public TO {APP}")
    # Once: a master that handed tables over is the owner's member, and would give it back what comes from it.
    if not await master.fetchval(_MAY_CREATE, OWNER, database):
        await master.execute(f"GRANT CONNECT, CREATE ON DATABASE {database} TO {OWNER} WITH GRANT OPTION")
        await master.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {OWNER} WITH GRANT OPTION")
