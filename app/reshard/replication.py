"""One direction of a move: a logical replication stream of some slots' rows from one shard to another."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.databases.slots import runs
from app.deployment import Deployment, ShardConfig
from app.reshard import account
from app.reshard.account import Account
from app.reshard.tables import TABLES

REACH_SECONDS = 10.0
"""How long a shard may take to reach another one; `connect_timeout` in the connection's string is half of it."""
REACHED = "U9008"
"""SQLSTATE of `try_stream` (migrations/0006_guard.sql) where it got through."""

SLOT_RELEASE_SECONDS = 10.0
"""How long a replication slot may take to be let go by the walsender that uses it."""


class StreamError(RuntimeError):
    """A stream did not get where it should in time."""


@dataclass(frozen=True)
class Side:
    """One shard of a move, and a connection of its own to its primary."""

    shard: ShardConfig
    connection: asyncpg.Connection


def conninfo(deployment: Deployment, shard: ShardConfig, role: Account) -> str:
    """What a subscriber needs to reach `shard`'s primary, as libpq reads it. It holds a password: never log it."""
    endpoint = shard.primary.endpoint
    parts = {
        "host": endpoint.host,
        "port": str(endpoint.port),
        "dbname": deployment.sharding.database,
        "user": role.name,
        "password": role.password,
        "sslmode": "require" if endpoint.tls else "disable",
        "connect_timeout": "5",
    }
    return " ".join(f"{name}={_quoted(value)}" for name, value in parts.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def slot_filter(slots: list[int], column: str = "slot") -> str:
    """`slots` as an SQL condition."""
    return " OR ".join(f"({column} BETWEEN {run.start} AND {run.end})" for run in runs(slots))


class Stream:
    """The stream called `name` of the rows of `slots` from `sender` to `receiver`.

    Publication, replication slot and subscription carry its name. Each step looks first whether it is done, so
    that all may be repeated after a crash. `origin = none` keeps it from sending what the opposite stream
    brought, so both directions can be open at once.
    """

    def __init__(self, name: str, move: UUID, slots: list[int], sender: Side, receiver: Side) -> None:
        self.name = name
        self.move = move
        self.slots = slots
        self.sender = sender
        self.receiver = receiver

    async def publish(self) -> None:
        """Make the publication and the replication slot on the sender.

        The slot waits for transactions that are open on the sender now: never within the pause.
        """
        sender = self.sender.connection
        if not await sender.fetchval("SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1)", self.name):
            tables = ", ".join(f"TABLE {table} WHERE ({slot_filter(self.slots)})" for table in TABLES)
            await sender.execute(
                f"CREATE PUBLICATION {self.name} FOR {tables}, TABLE move_markers WHERE (move = '{self.move}')"
            )
        if not await sender.fetchval(
            "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)", self.name
        ):
            await sender.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", self.name)

    async def subscribe(self, deployment: Deployment, copy: bool) -> None:
        """Make the subscription on the receiver; `copy` the rows that are there already."""
        role = await account.make(self.sender.connection, self.name)
        reach = conninfo(deployment, self.sender.shard, role)
        receiver = self.receiver.connection
        if await self._subscribed():
            # As the role has a new password, and the sender's primary
            # may be another one than when the stream was opened.
            await receiver.execute("SELECT point_stream($1, $2)", self.name, reach)
        else:
            await receiver.execute("SELECT open_stream($1, $2, $3)", self.name, reach, copy)
            # A warning while it was made has the statement in its context, and goes to the log: that password is over
            # now, before any worker has connected by it.
            role = await account.make(self.sender.connection, self.name)
            reach = conninfo(deployment, self.sender.shard, role)
            await receiver.execute("SELECT point_stream($1, $2)", self.name, reach)
        await receiver.execute(f"ALTER SUBSCRIPTION {self.name} ENABLE")

    async def reaches(self, deployment: Deployment) -> str | None:
        """Why the receiver cannot reach the sender, asked of the receiver itself; None where it can. Leaves nothing."""
        sender = self.sender.connection
        role = await account.make(sender, self.name)
        reach = conninfo(deployment, self.sender.shard, role)
        await sender.execute(f"CREATE PUBLICATION {self.name} FOR TABLE move_markers")
        try:
            async with asyncio.timeout(REACH_SECONDS):
                await self.receiver.connection.execute("SELECT try_stream($1, $2)", self.name, reach)
        except asyncpg.PostgresError as error:
            if error.sqlstate != REACHED:
                return str(error)
        except TimeoutError:
            return f"no answer within {REACH_SECONDS:g} s"
        finally:
            await sender.execute(f"DROP PUBLICATION {self.name}")
            await account.drop(sender, self.name)
        return None

    async def _subscribed(self) -> bool:
        found: bool = await self.receiver.connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_subscription WHERE subname = $1)", self.name
        )
        return found

    async def copied(self) -> bool:
        """Whether the initial copy of every table is done."""
        left: int = await self.receiver.connection.fetchval(
            "SELECT count(*) FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid "
            "WHERE s.subname = $1 AND r.srsubstate <> 'r'",
            self.name,
        )
        return left == 0

    async def drain(self, timeout: float) -> float:
        """Wait until the receiver has everything the sender committed so far; seconds that took.

        A marker row is sent behind it: commits are applied in their order, so once the marker is there, so is all
        before it. Raises: StreamError when it is not there within `timeout` seconds; the lag is then unknown.
        """
        began = time.monotonic()
        await self.arrival(await self.sender.connection.fetchval("SELECT send_marker($1)", self.move), timeout)
        return time.monotonic() - began

    async def arrival(self, marker: int, timeout: float) -> None:
        """Wait until a marker that was sent has arrived. Raises: StreamError after `timeout` seconds."""
        wait = "SELECT await_marker($1, $2, $3)"
        if not await self.receiver.connection.fetchval(wait, self.move, marker, timeout):
            raise StreamError(f"{self.name}: the receiver was not there within {timeout:g} s")

    async def distance(self) -> float:
        """Seconds of a round trip to the sender and one to the receiver: what a drain takes without any lag."""
        began = time.monotonic()
        for side in (self.sender, self.receiver):
            await side.connection.fetchval("SELECT 1")
        return time.monotonic() - began

    async def close(self) -> None:
        """Remove subscription, replication slots and publication, whatever there is of them."""
        receiver, sender = self.receiver.connection, self.sender.connection
        if await self._subscribed():
            await receiver.execute(f"ALTER SUBSCRIPTION {self.name} DISABLE")
            # Apart from the sender, as it may have lost the slot already; the slots are dropped below.
            await receiver.execute(f"ALTER SUBSCRIPTION {self.name} SET (slot_name = NONE)")
            await receiver.execute(f"DROP SUBSCRIPTION {self.name}")
        system = await receiver.fetchval("SELECT system_identifier FROM pg_control_system()")
        living = {row["oid"] for row in await receiver.fetch("SELECT oid FROM pg_subscription")}
        for row in await sender.fetch("SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical'"):
            name = row["slot_name"]
            # The initial copy has slots of its own: pg_<subscription>_sync_<table>_<system of the receiver>.
            parts = name.split("_")
            orphan = parts[0] == "pg" and "sync" in parts and parts[-1] == str(system) and int(parts[1]) not in living
            if name == self.name or orphan:
                await self._drop_slot(name)
        await sender.execute(f"DROP PUBLICATION IF EXISTS {self.name}")
        await account.drop(sender, self.name)

    async def _drop_slot(self, name: str) -> None:
        sender = self.sender.connection
        give_up = time.monotonic() + SLOT_RELEASE_SECONDS
        while True:
            try:
                await sender.execute(
                    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                    "WHERE slot_name = $1 AND active_pid IS NOT NULL",
                    name,
                )
                await sender.execute("SELECT pg_drop_replication_slot($1)", name)
            except asyncpg.UndefinedObjectError:
                return
            except asyncpg.ObjectInUseError:
                if time.monotonic() > give_up:
                    raise
                await asyncio.sleep(0.05)
            else:
                return
