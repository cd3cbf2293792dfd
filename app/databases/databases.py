"""All shards of the deployment: a user's reads and writes find their instance here, and stay right while it changes.

Reads (app/databases/reads.py) go by preference and nearness to an instance that has reached the user's floor. Writes
(app/databases/writes.py) go to the primary of the slot's owner, which checks owner and epoch itself (`fence` in
migrations/0002_writes.sql): a process with an old map is refused, asks Postgres for the new one
(app/databases/shards.py) and tries once more, so any number of processes in any number of regions are safe without
talking to each other. While a slot is fenced for a move, its writers wait; while a primary is away, they look for the
replica that was promoted in its place (app/databases/primaries.py).
"""

from __future__ import annotations

from typing import Self

from app.databases.floor import Floor
from app.databases.pools import DatabaseError, DatabaseUnavailable, PoolExhausted
from app.databases.reads import Reads
from app.databases.shards import Shards, WrongEpoch
from app.databases.upkeep import Upkeep
from app.databases.writes import Call, CommitUnknown, KeyReused, SlotFenced, Writes
from app.deployment import Deployment
from app.metrics import Metrics

__all__ = [
    "Call",
    "CommitUnknown",
    "DatabaseError",
    "DatabaseUnavailable",
    "Databases",
    "Floor",
    "KeyReused",
    "PoolExhausted",
    "SlotFenced",
    "WrongEpoch",
]


class Databases:
    """The parts of a process's databases: `shards`, which `reads`,
    `writes` and `upkeep` work on. An async context manager.

    Times are in seconds. `timeout` bounds a whole call, waiting for a connection included; without it the
    document's `server.requestTimeoutSeconds` does.
    """

    def __init__(self, deployment: Deployment, metrics: Metrics) -> None:
        self.shards = Shards(deployment, metrics)
        self.reads = Reads(self.shards)
        self.writes = Writes(self.shards)
        self.upkeep = Upkeep(self.shards)

    async def __aenter__(self) -> Self:
        await self.shards.open()
        self.upkeep.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the upkeep and close every pool; lent connections get a few seconds."""
        await self.upkeep.stop()
        await self.shards.close()
