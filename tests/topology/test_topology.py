"""The topology: what a stack file says, and what follows from it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.deployment import SLOTS, KeyRange
from plan.program import REPOSITORY
from plan.project import stack_file
from plan.reader import read_yaml
from tests.stackfiles import DATA, edited, put, refusal, topology
from topology import budget
from topology.load import parse

SA_EAST = {
    "awsRegion": "sa-east-1",
    "cidr": "10.3.0.0/16",
    "zones": ["sa-east-1a", "sa-east-1b", "sa-east-1c"],
}


# The stack files that are here.


def test_production_has_the_specifications_regions_in_its_order() -> None:
    assert [(r.name, r.aws_region) for r in topology("prod").ordered_regions] == [
        ("us-west", "us-west-2"),
        ("eu-central", "eu-central-1"),
        ("ap-south", "ap-south-1"),
    ]


def test_production_has_the_specifications_shards() -> None:
    assert [(shard.home, shard.key_ranges) for shard in topology("prod").shards] == [
        ("us-west", (KeyRange(start=0, end=333),)),
        ("eu-central", (KeyRange(start=334, end=666),)),
        ("ap-south", (KeyRange(start=667, end=999),)),
    ]


def test_production_has_three_zones_with_a_nat_gateway_each() -> None:
    assert {(len(r.zones), r.nat_gateways) for r in topology("prod").ordered_regions} == {(3, "zone")}


def test_production_protects_and_dev_does_not() -> None:
    assert (topology("prod").production, topology("dev").production) == (True, False)


def test_dev_is_one_region_with_ten_servers_at_least() -> None:
    dev = topology("dev")
    assert (dev.region_names, dev.autoscaling.min_replicas) == (("us-west",), 10)


def test_defaults_are_the_specifications_values() -> None:
    bare = topology("prod", put("autoscaling", {}), put("pools", {}), put("cache", {}))
    scaling, pools = bare.autoscaling, budget.pools(bare)
    assert (scaling.min_replicas, scaling.max_replicas) == (10, 100)
    assert (scaling.cpu_utilization, scaling.memory_utilization, scaling.users_per_pod) == (70, 80, 20)
    assert (scaling.scale_down.stabilization_window_seconds, scaling.scale_up.stabilization_window_seconds) == (300, 0)
    assert [(p.type, p.value, p.period_seconds) for p in scaling.scale_up.policies] == [
        ("Percent", 100, 60),
        ("Pods", 10, 60),
    ]
    assert (pools.max_connections, pools.connect_timeout_seconds, pools.idle_timeout_seconds) == (100, 5, 300)
    assert (pools.max_lifetime_seconds, pools.statement_cache_capacity) == (3600, 1000)
    assert (bare.cache.ttl_seconds, bare.sessions.ttl_seconds) == (60, 3600)
    pod = bare.server.resources
    assert (pod.cpu_request, pod.cpu_limit, pod.memory_request_gib, pod.memory_limit_gib) == (1, 2, 2, 4)


def test_a_topology_cannot_be_changed() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        topology("prod").domain = "example.com"  # type: ignore[misc]


# What follows.


def test_regions_are_ordered_by_address_block_and_not_by_their_place_in_the_file() -> None:
    backwards = edited("prod")
    backwards["regions"] = dict(reversed(backwards["regions"].items()))
    assert parse("prod", backwards).region_names == ("us-west", "eu-central", "ap-south")


def test_a_region_behind_the_others_changes_no_order() -> None:
    assert topology("prod", put("regions.sa-east", SA_EAST)).region_names[:3] == topology("prod").region_names


def test_a_replica_is_in_every_other_region_first_and_then_at_home() -> None:
    prod = topology("prod")
    assert [prod.replica_regions(shard) for shard in prod.shards] == [
        ("eu-central", "ap-south", "us-west"),
        ("us-west", "ap-south", "eu-central"),
        ("us-west", "eu-central", "ap-south"),
    ]


def test_fewer_replicas_leave_out_home_first() -> None:
    fewer = topology("prod", put("database.replicationFactor", 2))
    assert fewer.replica_regions(fewer.shards[0]) == ("eu-central", "ap-south")


def test_a_single_region_has_its_replica_at_home() -> None:
    dev = topology("dev")
    assert dev.replica_regions(dev.shards[0]) == ("us-west",)


def test_sessions_are_copied_to_the_first_two_other_regions() -> None:
    four = topology("prod", put("regions.sa-east", SA_EAST))
    assert {r.name: four.session_replica_regions(r) for r in four.ordered_regions} == {
        "us-west": ("eu-central", "ap-south"),
        "eu-central": ("us-west", "ap-south"),
        "ap-south": ("us-west", "eu-central"),
        "sa-east": ("us-west", "eu-central"),
    }


def test_sessions_are_copied_where_the_stack_file_says() -> None:
    prod = topology("prod", put("regions.us-west.sessionReplicas", ["ap-south"]))
    assert prod.session_replica_regions(prod.regions["us-west"]) == ("ap-south",)


def test_a_region_may_do_without_copies_of_its_sessions() -> None:
    prod = topology("prod", put("regions.us-west.sessionReplicas", []))
    assert prod.session_replica_regions(prod.regions["us-west"]) == ()


def test_backups_go_to_another_region_where_there_is_one() -> None:
    assert [topology("prod").backup_region(name) for name in ("us-west", "eu-central", "ap-south")] == [
        "eu-central",
        "us-west",
        "us-west",
    ]
    assert topology("dev").backup_region("us-west") is None


def test_requests_without_a_region_are_split_34_33_33() -> None:
    assert topology("prod").weights == {"us-west": 34, "eu-central": 33, "ap-south": 33}


@pytest.mark.parametrize("more", range(4))
def test_even_weights_add_up_to_100(more: int) -> None:
    names = ["sa-east-1", "eu-west-1", "ca-central-1"][:more]
    added = [
        put(
            f"regions.r{i}-more",
            {"awsRegion": aws, "cidr": f"10.{10 + i}.0.0/16", "zones": [f"{aws}{letter}" for letter in "ab"]},
        )
        for i, aws in enumerate(names)
    ]
    assert sum(topology("prod", *added, put("autoscaling.maxReplicas", 40)).weights.values()) == 100


def test_set_weights_are_taken_as_they_are() -> None:
    weights = {"us-west": 0, "eu-central": 50, "ap-south": 50}
    assert topology("prod", put("mesh.weights", weights)).weights == weights


def test_users_from_elsewhere_go_to_the_first_region_or_to_the_one_that_is_set() -> None:
    assert topology("prod").default_region == "us-west"
    assert topology("prod", put("edge.defaultRegion", "ap-south")).default_region == "ap-south"


def test_a_country_leads_to_its_region() -> None:
    countries = topology("prod").countries
    assert (countries["US"], countries["NO"], countries["IN"]) == ("us-west", "eu-central", "ap-south")


def test_a_pool_is_derived_where_none_is_set() -> None:
    assert budget.pools(topology("prod")).primary_size == 8
    assert budget.pools(topology("prod", put("pools.size", 7))).replica_size == 7


@pytest.mark.parametrize(
    ("image", "repository"),
    [("hal9-server@sha256:" + "0" * 64, "hal9-server"), ("team/hal9:1.4@sha256:" + "a" * 64, "team/hal9")],
)
def test_a_repository_is_an_image_without_tag_and_digest(image: str, repository: str) -> None:
    assert topology("prod", put("server.image", image)).repository == repository


# Slot ranges: any partition of 0-999, and nothing else.


@st.composite
def partitions(draw: st.DrawFn) -> list[list[tuple[int, int]]]:
    """Slots 0-999 cut in random places, the pieces dealt to one to six shards in random order."""
    cuts = sorted(draw(st.sets(st.integers(1, SLOTS - 1), max_size=12)))
    pieces = [(start, end - 1) for start, end in zip([0, *cuts], [*cuts, SLOTS], strict=True)]
    count = draw(st.integers(1, min(6, len(pieces))))
    shards: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    for index, piece in enumerate(draw(st.permutations(pieces))):
        shards[index % count].append(piece)
    return shards


def _shards(ranges: list[list[tuple[int, int]]]) -> list[dict[str, Any]]:
    homes = list(DATA["prod"]["regions"])
    return [
        {"id": i, "home": homes[i % 3], "slots": [f"{start}-{end}" for start, end in mine]}
        for i, mine in enumerate(ranges)
    ]


@settings(max_examples=50, deadline=None)
@given(partitions())
def test_every_partition_of_the_slots_is_taken(ranges: list[list[tuple[int, int]]]) -> None:
    assert refusal("prod", put("shards", _shards(ranges))) == []


@settings(max_examples=100, deadline=None)
@given(partitions(), st.data())
def test_a_partition_with_one_bound_moved_is_refused(ranges: list[list[tuple[int, int]]], data: st.DataObject) -> None:
    shard = data.draw(st.integers(0, len(ranges) - 1))
    piece = data.draw(st.integers(0, len(ranges[shard]) - 1))
    start, end = ranges[shard][piece]
    by = data.draw(st.integers(-SLOTS, SLOTS).filter(bool))
    moved = (start + by, end) if data.draw(st.booleans()) else (start, end + by)
    assume(min(moved) >= 0)  # a minus sign is no range at all, and refused by the form
    ranges[shard][piece] = moved
    refused = refusal("prod", put("shards", _shards(ranges)))
    assert refused
    assert all(line.startswith("hal9:shards[") for line in refused)


# The way in: the command, as an operator types it.

Preview = Callable[[dict[str, Any]], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def preview(tmp_path: Path) -> Preview:
    """Runs `python -m plan preview` on production's stack file with some keys changed."""

    def run(changes: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        data = read_yaml(stack_file(REPOSITORY, "prod"))
        data["config"].update({f"hal9:{key}": value for key, value in changes.items()})
        file = tmp_path / "Pulumi.prod.yaml"
        file.write_text(json.dumps(data))  # JSON is YAML
        command = [sys.executable, "-m", "plan", "preview", "--stack", "prod", "--config", str(file)]
        outputs = ["--json", str(tmp_path / "plan.json"), "--manifests", str(tmp_path / "manifests")]
        return subprocess.run([*command, *outputs], cwd=REPOSITORY, capture_output=True, text=True, check=False)

    return run


def test_a_preview_of_a_stack_file_with_mistakes_shows_them_all_and_plans_nothing(
    preview: Preview, tmp_path: Path
) -> None:
    shards = [*DATA["prod"]["shards"][:2], {"id": 1, "home": "ap-south", "slots": ["700-999"]}]
    done = preview({"shards": shards, "protect": "maybe", "domian": "hal9.ai"})
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "Pulumi.prod.yaml has 4 mistakes; nothing was planned.\n"
        "  hal9:domian              is no known key; did you mean domain?\n"
        "  hal9:protect             'maybe' is not true or false\n"
        "  hal9:shards[1].slots[0]  334-666 leaves slots 667 to 699 without a shard\n"
        "  hal9:shards[2].id        1 is shards[1]'s already; free is 2\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["Pulumi.prod.yaml"]
