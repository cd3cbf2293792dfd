"""Every sequence of allowed edits keeps every slot owned once, every session readable, and every primary's rows.

A small world plays beside the stack file: which instance holds a shard's rows, which shard holds a slot's, which key a
session lies under. An edit is applied where the steps allow it, safe or careless alike; the world then checks itself.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stackfiles import edited, put
from topology import steps
from topology.load import parse
from topology.stackfile import StackFileError
from topology.steps import refusals
from topology.steps.edit import owners
from topology.topology import Topology

Data = dict[str, Any]
START = datetime(2030, 1, 1, tzinfo=UTC)
REGIONS = {
    "sa-east": ("sa-east-1", "10.3.0.0/16"),
    "us-east": ("us-east-1", "10.4.0.0/16"),
}


@dataclass
class World:
    """What stands, beside what the stack file says."""

    data: Data
    topology: Topology
    now: datetime = START
    rows: dict[int, int] = field(default_factory=dict)
    """Slot to the shard whose Postgres has its rows."""
    instances: dict[int, set[str]] = field(default_factory=dict)
    """By shard: the instances that have its rows."""
    primaries: dict[int, str] = field(default_factory=dict)
    writing: dict[str, datetime] = field(default_factory=dict)
    """By key: when the last session under it ends."""

    @classmethod
    def new(cls) -> World:
        data = edited("prod")
        topology = parse("prod", data)
        world = cls(data, topology)
        world.rows = dict(enumerate(owners(topology)))
        world.instances = {s.id: {place.name for place in topology.instances(s)} for s in topology.shards}
        world.primaries = {s.id: topology.instances(s)[0].name for s in topology.shards}
        world.write()
        return world

    def write(self) -> None:
        """Users sign in: sessions under the active key."""
        active = next(key.id for key in self.topology.sessions.keyring if key.state == "active")
        self.writing[active] = self.now + timedelta(seconds=self.topology.sessions.ttl_seconds)

    def step(self, data: Data) -> bool:
        """Applies an edit if it is a step."""
        try:
            wanted = parse("prod", data)
        except StackFileError:
            return False
        if refusals(self.topology, wanted, self.now):
            return False
        self._check(wanted)
        self.data, self.topology = data, wanted
        self.write()
        return True

    def _check(self, wanted: Topology) -> None:
        for slot, owner in enumerate(owners(wanted)):
            assert self.rows[slot] == owner, f"slot {slot} is shard {owner}'s, and its rows are with {self.rows[slot]}"
        for shard in wanted.shards:
            known = self.instances.get(shard.id, set())
            primary, *replicas = wanted.instances(shard)
            if known:
                assert primary.name in known, f"the primary {primary.name} is made, empty"
            if known and primary.name != self.primaries[shard.id]:
                assert not known & {one.name for one in replicas}, "a replica would follow another source"
            self.instances[shard.id] = {primary.name, *(one.name for one in replicas)}
            self.primaries[shard.id] = primary.name
        lived = {shard.id for shard in self.topology.shards} - {shard.id for shard in wanted.shards}
        assert not lived & set(self.rows.values())
        for gone_shard in lived:  # a later one of the same id is another
            del self.instances[gone_shard], self.primaries[gone_shard]
        self._check_places(wanted)
        readable = {key.id for key in wanted.sessions.keyring if key.state != "retired"}
        held = {key.id for key in self.topology.sessions.keyring if key.state != "retired"}
        alive = {key for key, end in self.writing.items() if end > self.now}
        assert alive <= readable
        writes = next(key.id for key in wanted.sessions.keyring if key.state == "active")
        assert writes in held, "pods that have not rolled yet cannot read what the new ones write"
        gone = self.topology.regions.keys() - wanted.regions.keys()
        for region in gone:
            assert all(region not in (s.at, s.home) for s in self.topology.shards)
            assert not self.topology.regions[region].countries

    def _check_places(self, wanted: Topology) -> None:
        """What is protected stays where it is, as it is: account, zone, networks, volumes, and its protection."""
        standing = self.topology
        assert (wanted.account_id, wanted.domain, wanted.edge.hosted_zone_id) == (
            standing.account_id,
            standing.domain,
            standing.edge.hosted_zone_id,
        )
        assert wanted.protect
        assert wanted.keep_backups
        assert wanted.server.deployed
        for name in standing.regions.keys() & wanted.regions.keys():
            before, after = standing.regions[name], wanted.regions[name]
            assert (before.cidr, before.aws_region) == (after.cidr, after.aws_region)
            assert set(before.zones) <= set(after.zones)
        before_disk, after_disk = standing.database, wanted.database
        assert before_disk.storage_gib <= after_disk.storage_gib
        assert before_disk.engine_version.split(".")[0] == after_disk.engine_version.split(".")[0]


CARELESS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("protect", (False,)),
    ("keepBackups", (False,)),
    ("domain", ("hal9.example",)),
    ("accountId", ("210987654321",)),
    ("server.deployed", (False,)),
    ("database.storageGib", (150, 250, 300)),
    ("database.engineVersion", ("15", "16.4", "17")),
    ("redis.engineVersion", ("7.0", "7.1")),
    ("regions.us-west.cidr", ("10.9.0.0/16", "10.0.0.0/17")),
    ("regions.eu-central.zones", (["eu-central-1a", "eu-central-1b"],)),
    ("database.instanceClass", ("db.r6g.4xlarge", "db.r6g.2xlarge")),
    ("autoscaling.maxReplicas", (90, 110)),
)
"""Settings with other values, most of them none that a step may have."""


def ended(world: World, data: Data, source: int, target: int, count: int, *, finished: bool, receipt: bool) -> None:
    """Slots from the end of one shard to another, in the file; and in the world, where the move is finished."""
    shards = {shard["id"]: shard for shard in data["shards"]}
    owned = [slot for slot, owner in enumerate(owners(world.topology)) if owner == source]
    moved = owned[-count:]
    if not moved or source == target:
        return
    after = [target if slot in moved else owner for slot, owner in enumerate(owners(world.topology))]
    for shard in shards.values():
        shard["slots"] = [f"{slot}-{slot}" for slot, owner in enumerate(after) if owner == shard["id"]]
    database = data["database"]
    epoch = world.topology.database.map_epoch + 1
    database["mapEpoch"] = epoch
    if receipt:
        move = {"slots": [f"{moved[0]}-{moved[-1]}"], "from": source, "to": target, "epoch": epoch}
        if moved == list(range(moved[0], moved[-1] + 1)):
            database["moves"] = [move]
    if finished:
        for slot in moved:
            world.rows[slot] = target


def edit(world: World, draw: random.Random, kinds: Sequence[int] = range(13)) -> Data:
    """A random edit: some as the procedures say, some careless. `kinds`: of these alone."""
    data = copy.deepcopy(world.data)
    regions, shards = list(data["regions"]), data["shards"]
    shard, region = draw.choice(shards), draw.choice(regions)
    keys = data["sessions"]["keyring"]
    kind = draw.choice(kinds)
    if kind == 0:
        name = draw.choice(list(REGIONS))
        aws, cidr = REGIONS[name]
        data["regions"].setdefault(name, {"awsRegion": aws, "cidr": cidr, "zones": [f"{aws}{z}" for z in "abc"]})
    elif kind == 1:
        data["regions"][region]["leaving"] = True
        data["regions"][region]["countries"] = []
    elif kind == 2:
        data["regions"].pop(region)
    elif kind == 3:
        shards.append({"id": draw.randrange(9), "home": region})
    elif kind == 4:
        shards.remove(shard)
        if shards and draw.random() < 0.5:
            heir = draw.choice(shards)
            heir["slots"] = [*heir.get("slots", []), *shard.get("slots", [])]
    elif kind == 5:
        shard["home"] = region
        data["database"]["mapEpoch"] = world.topology.database.map_epoch + draw.randrange(2)
        shard.pop("primary", None)
    elif kind in (6, 7):
        shard["primary"] = region
        database = data["database"]
        database["mapEpoch"] = world.topology.database.map_epoch + draw.randrange(2)
        if draw.random() < 0.8:
            made = shard.setdefault("generations", {})
            for place in [*regions, f"{region}-second"]:
                made[place] = made.get(place, 1) + (place != region or draw.random() < 0.1)
    elif kind == 8:
        other = draw.choice(shards)
        honest = draw.random() < 0.6
        if honest:
            trial = copy.deepcopy(data)
            shadow = copy.deepcopy(world)
            ended(shadow, trial, shard["id"], other["id"], draw.choice([1, 20, 400]), finished=True, receipt=True)
            return _only_if_a_step(world, shadow, trial)
        ended(world, data, shard["id"], other["id"], 20, finished=False, receipt=False)
    elif kind == 12:
        path, values = draw.choice(CARELESS)
        put(path, draw.choice(values))(data)
        if path == "accountId":
            data["cluster"]["adminRoleArns"] = [f"arn:aws:iam::{data['accountId']}:role/hal9-deployer"]
    else:
        edit_keys(world, draw, keys, kind)
    return data


def edit_keys(world: World, draw: random.Random, keys: list[dict[str, str]], kind: int) -> None:
    """A key more (9), one of another state (10), one less (11)."""
    if kind == 9:
        keys.append({"id": f"k{draw.randrange(6)}", "state": draw.choice(["decrypt", "decrypt", "active"])})
    elif kind == 10:
        key = draw.choice(keys)
        key["state"] = draw.choice(["active", "decrypt", "retired"])
        for other in keys:
            if key["state"] == "active" and other is not key and other["state"] == "active":
                other.update(state="decrypt", since=world.now.isoformat())
    else:
        keys.remove(draw.choice(keys))


def _only_if_a_step(world: World, shadow: World, data: Data) -> Data:
    """A finished move's rows are moved in the world only where the stack file follows it."""
    try:
        if not refusals(world.topology, parse("prod", data), world.now):
            world.rows = shadow.rows
    except StackFileError:
        pass
    return data


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_every_sequence_of_allowed_edits_keeps_rows_and_sessions(seed: int) -> None:
    draw, world = random.Random(seed), World.new()
    for _ in range(25):
        world.step(edit(world, draw))
        world.now += timedelta(seconds=draw.choice([10, 1800, 4000]))


def test_the_sequences_really_change_something() -> None:
    taken = 0
    for seed in range(8):
        draw, world = random.Random(seed), World.new()
        for _ in range(25):
            taken += world.step(edit(world, draw))
            world.now += timedelta(seconds=4000)
    assert taken > 20


@pytest.mark.parametrize(
    ("broken", "kinds"),
    [
        ("shards.slots_moved", [8]),
        ("sessions.keyring", [9, 10, 11]),
        ("shards.promoted", [6]),
        ("shards.homes", [5, 6]),
        ("shards.left", [3, 4]),
        ("places.bared", [12]),
        ("places.account", [12]),
        ("places.domain", [12]),
        ("places.blocks", [12]),
        ("places.zones", [12]),
        ("places.emptied", [12]),
        ("versions.storage", [12]),
        ("versions.postgres", [12]),
    ],
)
def test_without_one_of_the_rules_a_sequence_is_found_that_loses_something(
    broken: str, kinds: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = broken.split(".")
    left_out = getattr(getattr(steps, module), name)
    monkeypatch.setattr(steps, "RULES", tuple(rule for rule in steps.RULES if rule is not left_out))
    with pytest.raises(AssertionError):
        _play(kinds)


def _play(kinds: Sequence[int]) -> None:
    for seed in range(40):
        draw, world = random.Random(seed), World.new()
        for _ in range(12):
            world.step(edit(world, draw, kinds))
            world.now += timedelta(seconds=draw.choice([10, 1800]))
