"""One direction of a move: a logical replication stream of some slots' rows from one shard to another."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.databases.credentials import shard_credentials
from app.databases.sharding import ranges
from app.deployment import Deployment, ShardConfig

log = logging.getLogger(__name__)

TABLES = ("users", "items", "idempotency_keys")
"""The tables that hold users' rows, each with `slot` first in its primary key."""

SLOT_RELEASE_SECONDS = 10.0
"""How long a replication slot may take to be let go by the walsender that uses it."""


class StreamError(RuntimeError):
    """A stream did not get where it should in time."""


@dataclass(frozen=True)
class Side:
    """One shard of a move, and a connection of its own to its primary."""

    shard: ShardConfig
    connection: asyncpg.Connection


def conninfo(deployment: Deployment, shard: ShardConfig) -> str:
    """What a subscriber needs to reach `shard`'s primary, as libpq reads it. It holds the password: never log it."""
    account = shard_credentials(deployment.secrets_directory, shard.id)
    endpoint = shard.primary.endpoint
    parts = {
        "host": endpoint.host,
        "port": str(endpoint.port),
        "dbname": deployment.sharding.database,
        "user": account.username,
        "password": account.password,
        "sslmode": "require" if endpoint.tls else "disable",
        "connect_timeout": "5",
    }
    return " ".join(f"{name}={_quoted(value)}" for name, value in parts.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def slot_filter(slots: list[int], column: str = "slot") -> str:
    """`slots` as an SQL condition."""
    return " OR ".join(f"({column} BETWEEN {first} AND {last})" for first, last in ranges(slots))


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
        receiver = self.receiver.connection
        if await self._subscribed():
            return
        # With log_statement = ddl the server would log the password. The setting may be a privilege we lack.
        async with receiver.transaction():
            try:
                async with receiver.transaction():
                    await receiver.execute("SET LOCAL log_statement = 'none'")
            except asyncpg.InsufficientPrivilegeError:
                log.warning("shard %d: CREATE SUBSCRIPTION may be logged with its password", self.receiver.shard.id)
            target = conninfo(deployment, self.sender.shard).replace("'", "''")
            await receiver.execute(
                f"CREATE SUBSCRIPTION {self.name} CONNECTION '{target}' PUBLICATION {self.name} WITH "
                f"(create_slot = false, slot_name = '{self.name}', origin = none, copy_data = {str(copy).lower()})"
            )

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
