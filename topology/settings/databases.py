"""Shards, their Postgres, and the pools of connections to it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from app.databases import slots
from app.deployment import KeyRange, PoolConfig, ReadPreference
from topology import catalog, forms
from topology.settings.base import AS_NUMBER, MOST, Positive, Quantity, Settings, Switch

LARGEST_ID = 9999
"""A shard's id is in the names of its instances, for which RDS has 63 characters."""
MOST_STORAGE_GIB = 65_536
"""What gp3 gives an instance (RDS User Guide, "Amazon RDS DB instance storage")."""
SlotRange = Annotated[str, AfterValidator(forms.slot_range)]
_POOLS = PoolConfig(primary_size=0, replica_size=0)


def _key_ranges(texts: Iterable[str]) -> tuple[KeyRange, ...]:
    """Ranges that have the form of one, as 0-333."""
    ends = [tuple(map(int, text.split("-"))) for text in texts]
    return tuple(KeyRange(start=start, end=end) for start, end in ends)


class Shard(Settings):
    """One shard: its home region and the slots that it owns, as ranges such as 0-333.

    A new shard has none: it gets its slots from the others, by `python -m app.reshard`, while all serve. `primary` is
    the region whose instance takes the writes, its home unless it was promoted elsewhere. `generations` counts, by
    place, how often an instance was made anew (docs/decisions/0007-change.md).
    """

    id: Annotated[int, Field(ge=0, le=LARGEST_ID), AS_NUMBER] = Field(examples=[999])
    home: str = Field(examples=[""])
    slots: tuple[SlotRange, ...] = Field((), examples=[["0-999"]])
    primary: str | None = None
    generations: dict[str, Positive] = Field(default_factory=dict)

    @property
    def at(self) -> str:
        """The region of the primary."""
        return self.primary or self.home

    @cached_property
    def key_ranges(self) -> tuple[KeyRange, ...]:
        """The slot ranges as the deployment document writes them."""
        return _key_ranges(self.slots)


class Move(Settings):
    """The receipt of a finished move of slots, as `python -m app.reshard` prints it. `epoch` is the map's after it."""

    slots: tuple[SlotRange, ...] = Field(examples=[["300-333"]])
    source: Annotated[int, Field(ge=0, le=MOST), AS_NUMBER] = Field(alias="from", examples=[0])
    target: Annotated[int, Field(ge=0, le=MOST), AS_NUMBER] = Field(alias="to", examples=[1])
    epoch: Positive = Field(examples=[2])

    @property
    def numbers(self) -> frozenset[int]:
        """The slots that it moved."""
        return frozenset(slots.numbers(_key_ranges(self.slots)))


class Database(Settings):
    """Every shard's Postgres. `replication_factor` read replicas, one a region: other regions first, then home."""

    engine_version: Annotated[
        str,
        BeforeValidator(forms.digits),
        AfterValidator(catalog.postgres_version),
    ] = "16"
    instance_class: str = "db.r6g.2xlarge"
    storage_gib: Annotated[int, Field(ge=20, le=MOST_STORAGE_GIB), AS_NUMBER] = 200
    max_storage_gib: Annotated[int, Field(ge=20, le=MOST_STORAGE_GIB), AS_NUMBER] = 1000
    max_connections: Positive = 5000
    reserved_connections: Positive = 100
    multi_az: Switch = True
    """Whether a primary has a standby in another zone."""
    replicas_multi_az: Switch = False
    """Whether replicas have one too. A second zone doubles an instance's price, and a replica's rows are in every other
    region as well; whoever is promoted gets one at once (docs/runbooks/region.md)."""
    backup_retention_days: Annotated[int, Field(ge=1, le=35), AS_NUMBER] = 14
    monitoring_interval_seconds: Literal[0, 1, 5, 10, 15, 30, 60] = 30
    replication_factor: Annotated[int, Field(ge=0, le=MOST), AS_NUMBER] | None = None
    """Default: one replica in each region."""
    read_preference: Annotated[ReadPreference, Field(strict=False)] = ReadPreference.NEAREST
    slot_wal_limit_mib: Positive | None = None
    """WAL that an unread replication slot may keep on disk before Postgres gives the slot up, and with it the replica
    of another region: that one has nothing else to catch up from. Default: half of storageGib.
    """
    apply_immediately: Switch = False
    """Changes of class, storage or version now, at the price of an interruption, or in the next maintenance window."""
    allow_major_upgrade: Switch = False
    """Leave for a new major version; the old version's parameter groups then stay (docs/runbooks/database.md)."""
    replica_lag_alarm_seconds: Positive = 30
    map_epoch: Positive = 1
    """Grows with every change of a slot's owner; `python -m app.reshard` prints the value to write here."""
    moves: tuple[Move, ...] = ()
    """Receipts of finished moves of slots. The last step's are enough."""

    @property
    def wal_limit_mib(self) -> int:
        """`slot_wal_limit_mib`, or its default."""
        return self.slot_wal_limit_mib or self.storage_gib * 1024 // 2


class Pools(Settings):
    """Connection pools. `size` is derived from the budget where
    it is absent; the specification's values are the caps.
    """

    size: Positive | None = None
    max_connections: Positive = _POOLS.max_connections
    connect_timeout_seconds: Quantity = _POOLS.connect_timeout_seconds
    idle_timeout_seconds: Quantity = _POOLS.idle_timeout_seconds
    max_lifetime_seconds: Quantity = _POOLS.max_lifetime_seconds
    statement_cache_capacity: Positive = _POOLS.statement_cache_capacity
    statement_timeout_seconds: Quantity = _POOLS.statement_timeout_seconds
