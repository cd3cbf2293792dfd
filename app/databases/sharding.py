"""Users to slots to shards: a stable hash to 1000 slots, and a map from slots to shards.

The specification shows both user ranges (0-333, 334-666, 667-999) and `hash % n`. They are one thing here:
xxh3_64 of the UUID's 16 bytes, scaled to 1000 slots, and each shard owns ranges of slots. Resharding moves
slots from one shard to another and never changes the hash.

The map an app process starts with is the deployment document's. Postgres has the last word: each shard's
`slots` table says what it owns since which epoch, and `ShardMap.with_owners` makes the newer map.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from xxhash import xxh3_64_intdigest

from app.databases.slots import cover, describe, numbers
from app.deployment import SLOTS, ShardConfig, ShardingConfig

MAX_DRAWS = 10_000
"""Draws of a new id before giving up. A region that owns one slot of 1000 is missed by all with p = 0.00005."""


class ShardingError(ValueError):
    """A sharding configuration that does not give every slot exactly one owner, or a region without a slot."""


class Mistake(NamedTuple):
    """One mistake in a sharding configuration: where (a path below `$.sharding`) and what."""

    path: str
    message: str


class Ownership(NamedTuple):
    """What Postgres says of a slot: `shard` owns it since `epoch`."""

    slot: int
    shard: int
    epoch: int


def slot_of(user_id: UUID) -> int:
    """The slot, 0 to 999, of a user: `xxh3_64(bytes) * 1000 >> 64`, the same in every process and language.

    The 16 bytes are the UUID's in network order (RFC 9562). Golden vectors: tests/app/databases/test_sharding.py.
    """
    return xxh3_64_intdigest(user_id.int.to_bytes(16)) * SLOTS >> 64


def mistakes(config: ShardingConfig) -> Iterator[Mistake]:
    """All that is wrong with `config`'s slots: gaps, overlaps, ranges out of bounds or reversed, ids used twice."""
    ids: dict[int, int] = {}
    for index, shard in enumerate(config.shards):
        if shard.id in ids:
            yield Mistake(f".shards[{index}].id", f"{shard.id} is already the id of shards[{ids[shard.id]}]")
        ids.setdefault(shard.id, index)
    places = [(index, number) for index, shard in enumerate(config.shards) for number in range(len(shard.key_ranges))]
    ranges = [config.shards[index].key_ranges[number] for index, number in places]
    paths = [f".shards[{index}].keyRanges[{number}]" for index, number in places]
    found = cover(ranges)
    for place in found.outside:
        yield Mistake(paths[place], f"{ranges[place].start}-{ranges[place].end} is no range within 0-{SLOTS - 1}")
    for place, taken in found.overlaps:
        owner = config.shards[places[found.owner[taken[0]]][0]].id
        text = f"{ranges[place].start}-{ranges[place].end} overlaps shard {owner} in slots {describe(taken)}"
        yield Mistake(paths[place], text)
    if found.free:
        yield Mistake(".shards", f"slots {describe(found.free)} have no shard")


class ShardMap:
    """Which shard owns each slot, and since which epoch. Immutable: a refresh makes a new one.

    A new map is the document's word, at epoch 0 for each slot; any answer of Postgres (`with_owners`) outranks it.
    Raises ShardingError, with every mistake, unless each slot of `config`
    has exactly one owner.
    """

    __slots__ = ("_epochs", "_owners", "_shards", "config")

    def __init__(self, config: ShardingConfig) -> None:
        wrong = list(mistakes(config))
        if wrong:
            raise ShardingError("; ".join(f"sharding{mistake.path}: {mistake.message}" for mistake in wrong))
        owners = [0] * SLOTS
        for shard in config.shards:
            for slot in numbers(shard.key_ranges):
                owners[slot] = shard.id
        self._assign(config, tuple(owners), (0,) * SLOTS)

    def _assign(self, config: ShardingConfig, owners: tuple[int, ...], epochs: tuple[int, ...]) -> None:
        self.config = config
        self._owners = owners
        self._epochs = epochs
        self._shards: Mapping[int, ShardConfig] = {shard.id: shard for shard in config.shards}

    def with_owners(self, rows: Iterable[Ownership], primaries: Collection[int] = ()) -> ShardMap:
        """A map with each row applied whose epoch is newer than what is known of its slot.

        Of two claims the one with the newer epoch wins, so a stale answer (of a lagging replica, or of a shard
        that gave the slot away) changes nothing. A shard that the document does not name is left out.
        `primaries`: the shards whose primary itself answered. What this map holds newer of their slots is not so: such
        a shard was restored to an earlier time, and its own word counts.
        """
        owners, epochs = list(self._owners), list(self._epochs)
        rows = list(rows)
        for row in rows:
            if row.shard in primaries and owners[row.slot] == row.shard:
                epochs[row.slot] = min(epochs[row.slot], row.epoch)
        for row in rows:
            if row.epoch > epochs[row.slot] and row.shard in self._shards:
                owners[row.slot], epochs[row.slot] = row.shard, row.epoch
        newer = ShardMap.__new__(ShardMap)
        newer._assign(self.config, tuple(owners), tuple(epochs))  # noqa: SLF001 - its own class
        return newer

    def get_shard_for_user(self, user_id: UUID) -> int:
        """The id of the shard that owns the user's slot. The specification's name."""
        return self._owners[xxh3_64_intdigest(user_id.int.to_bytes(16)) * SLOTS >> 64]

    def shard_for(self, user_id: UUID) -> ShardConfig:
        """The shard that owns the user's slot."""
        return self._shards[self.get_shard_for_user(user_id)]

    def shard(self, shard_id: int) -> ShardConfig:
        """A shard by its id. Raises KeyError for an id the document does not name."""
        return self._shards[shard_id]

    def owner(self, slot: int) -> int:
        """The id of the shard that owns `slot`."""
        return self._owners[slot]

    def epoch_of(self, slot: int) -> int:
        """The epoch since which `slot` has its owner; a write carries it and Postgres refuses another."""
        return self._epochs[slot]

    def slots_of(self, shard_id: int) -> list[int]:
        """The slots a shard owns, in order."""
        return [slot for slot, owner in enumerate(self._owners) if owner == shard_id]

    def new_user_id(self, region: str) -> UUID:
        """A random id (UUIDv4) whose slot lies in a shard at home in `region`, so that its writes stay near.

        Drawn until it fits, about once per shard of the deployment; no directory is needed.
        Raises: ShardingError when no shard at home there owns a slot.
        """
        near = {shard.id for shard in self.config.shards if shard.home == region}
        if near.isdisjoint(self._owners):
            raise ShardingError(f"no shard at home in region {region} owns a slot: a new user cannot be placed there")
        for _ in range(MAX_DRAWS):
            user_id = uuid.uuid4()
            if self.get_shard_for_user(user_id) in near:
                return user_id
        raise ShardingError(f"{MAX_DRAWS} ids drawn and none fell into region {region}")
