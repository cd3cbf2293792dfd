from __future__ import annotations

import subprocess
import sys
import timeit
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.databases.sharding import Ownership, ShardingError, ShardMap, slot_of
from app.deployment import DatabaseConnection, Endpoint, KeyRange, ShardConfig, ShardingConfig

GOLDEN = {
    "00000000-0000-0000-0000-000000000000": 815,
    "ffffffff-ffff-ffff-ffff-ffffffffffff": 445,
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8": 495,
    "f47ac10b-58cc-4372-a567-0e02b2c3d479": 414,
    "018f3f6e-7c1a-7b3e-9a52-3f1c2d4e5f60": 544,
}
"""Slots of fixed ids. They must never change: every stored row is placed by them."""

Shards = Mapping[int, tuple[str, tuple[int, int] | None]]
"""By a shard's id its home and its slots, first and last."""

THIRDS = {1: ("us-west", (0, 333)), 2: ("eu-central", (334, 666)), 3: ("ap-south", (667, 999))}


def config(shards: Shards, epoch: int = 1) -> ShardingConfig:
    def shard(number: int, home: str, slots: tuple[int, int] | None) -> ShardConfig:
        primary = DatabaseConnection(region=home, endpoint=Endpoint(host="db", port=5432))
        key_ranges = () if slots is None else (KeyRange(start=slots[0], end=slots[1]),)
        return ShardConfig(id=number, home=home, primary=primary, replicas=(), key_ranges=key_ranges)

    return ShardingConfig(
        shards=tuple(shard(number, home, slots) for number, (home, slots) in shards.items()),
        replication_factor=1,
        epoch=epoch,
    )


@pytest.mark.parametrize(("user_id", "slot"), GOLDEN.items())
def test_a_users_slot_never_changes(user_id: str, slot: int) -> None:
    assert slot_of(UUID(user_id)) == slot


def test_another_process_computes_the_same_slot() -> None:
    code = (
        "import sys, uuid; from app.databases.sharding import slot_of; print(*(slot_of(uuid.UUID(u)) "
        "for u in sys.argv[1:]))"
    )
    seen = subprocess.run([sys.executable, "-c", code, *GOLDEN], capture_output=True, text=True, check=True)
    assert [int(slot) for slot in seen.stdout.split()] == list(GOLDEN.values())


def test_users_spread_evenly_over_the_slots() -> None:
    count = Counter(slot_of(uuid.uuid4()) // 100 for _ in range(20_000))
    # 2000 in each tenth; six standard deviations (42) either side.
    assert len(count) == 10
    assert all(abs(number - 2000) < 6 * 42.4 for number in count.values())


@given(st.uuids())
def test_every_user_has_one_shard(user_id: UUID) -> None:
    shards = ShardMap(config(THIRDS))
    shard = shards.shard_for(user_id)
    assert shard.id == shards.get_shard_for_user(user_id)
    assert shard.key_ranges[0].start <= slot_of(user_id) <= shard.key_ranges[0].end


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        ({1: ("a", (0, 333)), 2: ("b", (335, 999))}, "slots 334 have no shard"),
        (
            {1: ("a", (0, 333)), 2: ("b", (300, 999))},
            r"shards\[1\].keyRanges\[0\]: 300-999 overlaps shard 1 in slots 300-333",
        ),
        ({1: ("a", (0, 998))}, "slots 999 have no shard"),
        ({1: ("a", (0, 1000))}, "0-1000 is no range within 0-999"),
        ({1: ("a", (5, 4))}, "5-4 is no range"),
        ({1: ("a", None)}, "slots 0-999 have no shard"),
    ],
)
def test_slots_without_exactly_one_shard_are_refused(shards: Shards, message: str) -> None:
    with pytest.raises(ShardingError, match=message):
        ShardMap(config(shards))


def test_a_shard_id_used_twice_is_refused() -> None:
    one = config({1: ("a", (0, 999))})
    with pytest.raises(ShardingError, match="1 is already the id"):
        ShardMap(msgspec.structs.replace(one, shards=(*one.shards, *config({1: ("a", None)}).shards)))


@pytest.mark.parametrize("region", ["us-west", "eu-central", "ap-south"])
def test_a_new_users_writes_stay_in_their_region(region: str) -> None:
    shards = ShardMap(config(THIRDS))
    assert {shards.shard_for(shards.new_user_id(region)).home for _ in range(50)} == {region}


def test_a_region_with_one_slot_still_takes_new_users() -> None:
    shards = ShardMap(config({1: ("big", (0, 998)), 2: ("small", (999, 999))}))
    assert slot_of(shards.new_user_id("small")) == 999


def test_a_region_without_a_shard_takes_no_new_user() -> None:
    shards = ShardMap(config({**THIRDS, 4: ("sa-east", None)}))
    with pytest.raises(ShardingError, match="no shard at home in region sa-east owns a slot"):
        shards.new_user_id("sa-east")


def test_a_newer_epoch_moves_a_slot_and_an_older_one_does_not() -> None:
    before = ShardMap(config(THIRDS)).with_owners(Ownership(slot, 1, 5) for slot in (10, 11, 12))
    after = before.with_owners([Ownership(10, 2, 6), Ownership(11, 2, 4), Ownership(12, 2, 5)])
    assert [after.owner(slot) for slot in (10, 11, 12)] == [2, 1, 1]
    assert (before.owner(10), before.epoch_of(10), after.epoch_of(10), after.epoch_of(11)) == (1, 5, 6, 5)


def test_postgres_outranks_a_document_of_any_epoch() -> None:
    assert ShardMap(config(THIRDS, epoch=9)).with_owners([Ownership(10, 2, 1)]).owner(10) == 2


@given(st.permutations([Ownership(10, 1, 1), Ownership(10, 2, 2), Ownership(10, 3, 3), Ownership(10, 1, 2)]))
def test_the_order_of_answers_does_not_matter(rows: Iterable[Ownership]) -> None:
    assert ShardMap(config(THIRDS)).with_owners(rows).owner(10) == 3


def test_a_lookup_costs_little_more_than_a_dict_hit() -> None:
    # The goal of `make bench-app` is 3.5; here only that nobody makes it a different order of magnitude.
    shards, user = ShardMap(config(THIRDS)), uuid.uuid4()
    known = {user: 1}
    lookup = min(timeit.repeat(lambda: shards.get_shard_for_user(user), number=5000, repeat=5))
    hit = min(timeit.repeat(lambda: known[user], number=5000, repeat=5))
    assert lookup < 10 * hit
