"""Every step that the stack grows by passes the policies: none of them counts what the stack file may have more of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from plan.program import REPOSITORY
from plan.project import read_project, stack_file
from plan.reader import read_yaml
from policies.stack import Stack
from tests.conftest import PlanOf
from tests.policies.conftest import Judge, fired
from tests.stackfiles import put

Settings = dict[str, Any]
US_EAST = {
    "awsRegion": "us-east-1",
    "cidr": "10.3.0.0/16",
    "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
    "countries": ["VE"],
    "backupRegion": "us-west",
}


def step(*edits: Callable[[Settings], object], without: tuple[str, ...] = ()) -> Callable[[dict[str, Any]], None]:
    """A change of prod's stack file; `without`: regions that leave, and every pair that names them."""

    def change(data: dict[str, Any]) -> None:
        settings = {key.removeprefix("hal9:"): value for key, value in data["config"].items()}
        for edit in edits:
            edit(settings)
        for region in without:
            del settings["regions"][region]
            for table in (settings["monitoring"]["distanceSeconds"], settings["lab"]["roundTripMs"]):
                for pair in [pair for pair in table if region in pair]:
                    del table[pair]
        data["config"] |= {f"hal9:{key}": value for key, value in settings.items() if f"hal9:{key}" in data["config"]}

    return change


STEPS = {
    "a fourth region with a shard of its own": step(
        put("regions.us-east", US_EAST), put("shards[+]", {"id": 3, "home": "us-east", "slots": []})
    ),
    "a shard more": step(put("shards[+]", {"id": 3, "home": "us-west", "slots": []})),
    "a promotion, away from home": step(put("shards[0].primary", "eu-central")),
    "a fourth zone in one region": step(
        put("regions.us-west.zones", ["us-west-2a", "us-west-2b", "us-west-2c", "us-west-2d"])
    ),
    "more pods, nodes, cache and database": step(
        put("autoscaling.minReplicas", 12),
        put("autoscaling.maxReplicas", 120),
        put("cluster.onDemand.minNodes", 5),
        put("cluster.onDemand.maxNodes", 12),
        put("cluster.spot.maxNodes", 30),
        put("redis.cache.shards", 5),
        put("redis.cache.replicasPerShard", 2),
        put("database.instanceClass", "db.r6g.4xlarge"),
    ),
    "operators in a network of their own": step(put("cluster.operatorCidrs", ["10.200.0.0/24"])),
    "two regions": step(put("shards[2].home", "us-west"), without=("ap-south",)),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_passes_every_policy(name: str, plan_of: PlanOf, prod: Stack, judged: Judge) -> None:
    data = copy.deepcopy(read_yaml(stack_file(REPOSITORY, "prod")))
    STEPS[name](data)
    grown = Stack(plan_of("prod", STEPS[name]).resources, read_project(REPOSITORY, "prod", data).config)
    assert {resource.urn: resource.inputs for resource in grown.resources} != {
        resource.urn: resource.inputs for resource in prod.resources
    }
    assert fired(judged(grown)) == set()
