"""Rules of shards: slots, homes, replicas, connections, storage. Each
mistake in production's stack file, and its refusal to the letter.
"""

from __future__ import annotations

import pytest

from tests.stackfiles import Edit, put, refusal

MISTAKES: dict[str, tuple[list[Edit], list[str]]] = {
    "a gap": (
        [put("shards[1].slots[0]", "334-665")],
        [
            "hal9:shards[1].slots[0] 334-665 leaves slot 666 without a shard",
        ],
    ),
    "a gap at the start": (
        [put("shards[0].slots[0]", "3-333")],
        [
            "hal9:shards[0].slots[0] 3-333 leaves slots 0 to 2 without a shard",
        ],
    ),
    "two gaps": (
        [put("shards[0].slots[0]", "0-330"), put("shards[1].slots[0]", "334-660")],
        [
            "hal9:shards[0].slots[0] 0-330 leaves slots 331 to 333 without a shard",
            "hal9:shards[1].slots[0] 334-660 leaves slots 661 to 666 without a shard",
        ],
    ),
    "no slots at all": (
        [put(f"shards[{number}].slots", []) for number in range(3)],
        [
            "hal9:shards no shard has slots; together they have 0-999",
        ],
    ),
    "an overlap": (
        [put("shards[1].slots[0]", "333-666")],
        [
            "hal9:shards[1].slots[0] 333-666 overlaps shards[0].slots[0] in slot 333",
        ],
    ),
    "an overlap of many slots": (
        [put("shards[2].slots[0]", "600-999")],
        [
            "hal9:shards[2].slots[0] 600-999 overlaps shards[1].slots[0] in slots 600 to 666",
        ],
    ),
    "a slot above 999": (
        [put("shards[2].slots[0]", "667-1000")],
        [
            "hal9:shards[2].slots[0] 667-1000 is no range within 0-999",
        ],
    ),
    "a range that ends before it starts": (
        [put("shards[2].slots[0]", "999-667")],
        [
            "hal9:shards[2].slots[0] 999-667 is reversed; 667-999",
        ],
    ),
    "a home that is no region": (
        [put("shards[1].home", "eu-west")],
        [
            "hal9:shards[1].home 'eu-west' is no region; there are us-west, eu-central, ap-south",
        ],
    ),
    "two shards with one id": (
        [put("shards[1].id", 0)],
        [
            "hal9:shards[1].id 0 is shards[0]'s already; free is 1",
        ],
    ),
    "more replicas than regions": (
        [put("database.replicationFactor", 4)],
        [
            "hal9:database.replicationFactor 4 replicas are one in each region, and 3 stay: at most 3",
        ],
    ),
    "a region without a replica": (
        [put("database.replicationFactor", 1)],
        [
            "hal9:database.replicationFactor 1 leaves a region without a copy of a shard; 3 regions need at least 2",
        ],
    ),
    "an instance class that is none": (
        [put("database.instanceClass", "db.r6g.huge")],
        [
            "hal9:database.instanceClass 'db.r6g.huge' is no known RDS class such as db.r6g.2xlarge",
        ],
    ),
    "an EC2 type as instance class": (
        [put("database.instanceClass", "r6g.2xlarge")],
        [
            "hal9:database.instanceClass 'r6g.2xlarge' is no known RDS class such as db.r6g.2xlarge",
        ],
    ),
    "more connections than the class holds": (
        [put("database.instanceClass", "db.r6g.large")],
        [
            "hal9:database.maxConnections 3200 is more than db.r6g.large holds; at most 1622",
        ],
    ),
    "pools over the budget": (
        [put("pools.size", 20)],
        [
            (
                "hal9:pools.size 375 pods x 20 connections = 7500 is over the budget of 3100 (maxConnections "
                "3200 - reservedConnections 100); at most 8 a pod"
            ),
        ],
    ),
    "a budget below a connection a pod": (
        [put("database.maxConnections", 400)],
        [
            (
                "hal9:database.maxConnections 375 pods x 1 connections = 375 is over the budget of 300 "
                "(maxConnections 400 - reservedConnections 100); more connections, or fewer pods"
            ),
        ],
    ),
    "a budget below a connection a pod, with a set pool": (
        [put("database.maxConnections", 400), put("pools.size", 5)],
        [
            (
                "hal9:database.maxConnections 375 pods x 5 connections = 1875 is over the budget of 300 "
                "(maxConnections 400 - reservedConnections 100); more connections, or fewer pods"
            ),
        ],
    ),
    "a pool above its own cap": (
        [put("pools.size", 7), put("pools.maxConnections", 6)],
        [
            "hal9:pools.size 7 is above pools.maxConnections 6",
        ],
    ),
    "storage that would shrink": (
        [put("database.maxStorageGib", 100)],
        [
            "hal9:database.maxStorageGib 100 is below storageGib 200",
        ],
    ),
}


@pytest.mark.parametrize(("edits", "lines"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_with_its_path_and_what_would_be_right(edits: list[Edit], lines: list[str]) -> None:
    assert refusal("prod", *edits) == lines
