"""Caches, session stores and Global Datastores (controls 5 and 21)."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from components.redis import RegionCache, RegionSessions
from facts.metrics import dimension_sets
from tests.components.mocked import Built, Registered, build, cells, vaults
from tests.stackfiles import put, topology

REGIONS = ("us-west", "eu-central", "ap-south")
AWS = {"us-west": "us-west-2", "eu-central": "eu-central-1", "ap-south": "ap-south-1"}
INHERITED = set(
    """
    nodeType engine engineVersion parameterGroupName numNodeGroups transitEncryptionEnabled transitEncryptionMode
    atRestEncryptionEnabled authToken snapshotName snapshotArns port
    """.split()
)
"""What a secondary of a Global Datastore takes from its primary, and the provider refuses to be told."""


@functools.cache
def redis(stack: str = "prod", preview: bool = False, replicas_per_shard: int = 1, now: bool = False) -> Built:
    def make() -> Any:
        parsed = topology(
            stack, put("redis.cache.replicasPerShard", replicas_per_shard), put("redis.applyImmediately", now)
        )
        ground = cells(parsed)
        caches = {name: RegionCache(cell, parsed, vaults(ground)).host for name, cell in ground.items()}
        made = {r.name: RegionSessions(r, parsed, ground, vaults(ground)) for r in parsed.ordered_regions}
        sessions = {name: (store.host, store.copies) for name, store in made.items()}
        return {"caches": caches, "sessions": sessions}

    return build(make, stack=stack, preview=preview)


def groups(built: Built, ending: str) -> list[Registered]:
    return [g for g in built.of("ReplicationGroup") if g.name.endswith(ending)]


def stores(built: Built) -> list[Registered]:
    """The session stores themselves, each in its own region."""
    return [g for g in built.of("ReplicationGroup") if "numCacheClusters" in g.inputs and g not in secondaries(built)]


def secondaries(built: Built) -> list[Registered]:
    return [g for g in built.of("ReplicationGroup") if "globalReplicationGroupId" in g.inputs]


def test_each_region_has_a_cache_of_its_own_in_cluster_mode() -> None:
    assert {(g.name, g.region, g.inputs["numNodeGroups"]) for g in groups(redis(), "-cache")} == {
        (f"{region}-cache", AWS[region], 1) for region in REGIONS
    }


def test_a_cache_is_replicated_to_no_other_region() -> None:
    assert {d.inputs["primaryReplicationGroupId"] for d in redis().of("GlobalReplicationGroup")} == {
        f"{region}-sessions-in-{region}-id" for region in REGIONS
    }


def test_a_datastore_has_a_secondary_in_each_other_region() -> None:
    assert {(s.name, s.region, s.inputs["globalReplicationGroupId"]) for s in secondaries(redis())} == {
        (f"{home}-sessions-in-{other}", AWS[other], f"{home}-sessions.global")
        for home in REGIONS
        for other in REGIONS
        if home != other
    }


def test_a_secondary_leaves_out_what_it_inherits() -> None:
    assert [INHERITED & s.inputs.keys() for s in secondaries(redis())] == [set()] * 6


def test_a_secondary_has_its_own_regions_key_subnets_and_group() -> None:
    for secondary in secondaries(redis()):
        region = secondary.name.split("-sessions-in-")[1]
        assert secondary.inputs["kmsKeyId"] == f"arn:Key:{region}-redis"
        assert secondary.inputs["subnetGroupName"] == f"hal9-prod-{region}-redis"
        assert secondary.inputs["securityGroupIds"] == [f"{region}-redis-id"]


@pytest.mark.parametrize(
    ("accepted", "strategy"), [((1,), "SET"), ((1, 2), "ROTATE"), ((2, 1), "ROTATE"), ((2,), "SET")]
)
def test_redis_accepts_the_password_before_as_well_while_two_are_named(
    accepted: tuple[int, ...], strategy: str
) -> None:
    def make() -> None:
        parsed = topology("prod", put("credentials.redis", accepted))
        ground = cells(parsed)
        RegionCache(ground["us-west"], parsed, vaults(ground))

    (group,) = build(make, stack="prod").of("ReplicationGroup")
    assert group.inputs["authTokenUpdateStrategy"] == strategy


def test_a_single_region_has_no_datastore() -> None:
    assert redis("dev").of("GlobalReplicationGroup") == []


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_group_that_inherits_nothing_is_encrypted_and_asks_for_a_password(stack: str) -> None:
    for group in redis(stack).of("ReplicationGroup"):
        if "globalReplicationGroupId" in group.inputs:
            continue
        assert group.inputs["atRestEncryptionEnabled"] is True
        assert (group.inputs["transitEncryptionEnabled"], group.inputs["transitEncryptionMode"]) == (True, "required")
        assert str(group.inputs["authToken"]) == "[secret]"
        assert group.inputs["kmsKeyId"] == f"arn:Key:{group.inputs['tags']['region']}-redis"


def test_every_group_fails_over_between_zones() -> None:
    assert {
        (g.inputs["automaticFailoverEnabled"], g.inputs["multiAzEnabled"]) for g in redis().of("ReplicationGroup")
    } == {(True, True)}


def test_a_cache_without_replicas_is_not_multi_az() -> None:
    """AWS refuses Multi-AZ for a group that has nothing to fail over to."""
    assert {g.inputs["multiAzEnabled"] for g in groups(redis(replicas_per_shard=0), "-cache")} == {False}


def test_session_stores_keep_snapshots() -> None:
    assert {g.inputs["snapshotRetentionLimit"] for g in stores(redis())} == {7}


def test_a_cache_evicts_and_a_session_store_does_not() -> None:
    policies = {
        g.name: {p["name"]: p["value"] for p in g.inputs["parameters"]}
        for g in redis().of("ParameterGroup")
        if g.type.startswith("aws:elasticache")
    }
    assert {policies[f"{r}-cache"]["maxmemory-policy"] for r in REGIONS} == {"allkeys-lru"}
    assert {policies[f"{r}-sessions"]["maxmemory-policy"] for r in REGIONS} == {"noeviction"}
    assert {policies[f"{r}-cache"]["cluster-enabled"] for r in REGIONS} == {"yes"}


def test_only_the_private_subnets_of_the_regions_may_connect() -> None:
    built = redis()
    private = {s.inputs["cidrBlock"] for s in built.of("Subnet") if s.inputs["tags"]["tier"] == "private"}
    for region in REGIONS:
        rules = [r.inputs for r in built.of("SecurityGroupIngressRule", below=f"{region}-redis")]
        assert {rule["cidrIpv4"] for rule in rules} == private
        assert {(rule["fromPort"], rule["toPort"]) for rule in rules} == {(6379, 6379)}


def test_redis_stands_in_the_data_tier() -> None:
    built = redis()
    data = {f"{s.name}-id" for s in built.of("Subnet") if s.inputs["tags"]["tier"] == "data"}
    assert {
        s for g in built.of("SubnetGroup") if g.type.startswith("aws:elasticache") for s in g.inputs["subnetIds"]
    } == data


@pytest.mark.parametrize(("stack", "kept"), [("prod", True), ("dev", False)])
def test_session_stores_are_protected_in_production_and_caches_never(stack: str, kept: bool) -> None:
    built = redis(stack)
    assert {g.protect for g in stores(built) + secondaries(built)} == {kept}
    assert {g.protect for g in groups(built, "-cache")} == {False}
    assert {"finalSnapshotIdentifier" in g.inputs for g in stores(built)} == {kept}


def test_a_redis_password_is_in_every_region() -> None:
    built = redis()
    for role in ("cache", "sessions"):
        for region in REGIONS:
            copies = [s.region for s in built.of("Secret") if s.inputs["name"] == f"hal9/prod/{role}-{region}"]
            assert sorted(copies) == sorted(AWS.values())


def test_slow_commands_are_logged() -> None:
    for group in redis().of("ReplicationGroup"):
        (log,) = group.inputs["logDeliveryConfigurations"]
        assert (log["logType"], log["destination"]) == (
            "slow-log",
            f"/hal9/prod/{group.inputs['tags']['region']}/redis-slow",
        )


def members(group: Registered) -> set[str]:
    """The clusters that ElastiCache makes of a replication group, by its rule for their names."""
    name, inputs = group.inputs["replicationGroupId"], group.inputs
    if "numNodeGroups" in inputs:
        each = inputs["replicasPerNodeGroup"] + 1
        return {
            f"{name}-{shard:04}-{node:03}"
            for shard in range(1, inputs["numNodeGroups"] + 1)
            for node in range(1, each + 1)
        }
    return {f"{name}-{node:03}" for node in range(1, inputs["numCacheClusters"] + 1)}


@pytest.mark.parametrize("stack", ["dev", "prod"])
@pytest.mark.parametrize("metric", ["DatabaseMemoryUsagePercentage", "EngineCPUUtilization"])
def test_every_node_is_watched_by_its_own_name(stack: str, metric: str) -> None:
    """B7: Redis' metrics exist by cluster; an alarm on the replication group waited for ever."""
    built = redis(stack)
    wanted = {(group.region, member) for group in built.of("ReplicationGroup") for member in members(group)}
    watched = [a for a in built.of("MetricAlarm") if a.inputs["metricName"] == metric]
    assert {(a.region, a.inputs["dimensions"]["CacheClusterId"]) for a in watched} == wanted


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_alarm_is_on_a_metric_that_exists_under_its_dimensions(stack: str) -> None:
    """B7, for whatever alarm comes next."""
    for alarm in redis(stack).of("MetricAlarm"):
        sets = dimension_sets(alarm.inputs["namespace"], alarm.inputs["metricName"])
        assert sets is not None, alarm.name
        assert frozenset(alarm.inputs.get("dimensions", {})) in sets, alarm.name


def test_lag_between_the_copies_of_a_store_is_watched() -> None:
    """B13."""
    watched = {a.region for a in redis().of("MetricAlarm") if a.inputs["metricName"] == "GlobalDatastoreReplicationLag"}
    assert watched == set(AWS.values())
    assert not any(a.inputs["metricName"] == "GlobalDatastoreReplicationLag" for a in redis("dev").of("MetricAlarm"))


def test_a_datastore_carries_the_size_and_version_of_its_members() -> None:
    """B3: a member's own change is refused; the datastore's goes to all of them."""
    for datastore in redis().of("GlobalReplicationGroup"):
        assert datastore.inputs["cacheNodeType"] == "cache.m6g.large"
        assert datastore.inputs["engineVersion"] == "7.1"
    for primary in stores(redis()):
        assert {"nodeType", "engineVersion"} <= set(primary.ignore_changes)
    for alone in [*stores(redis("dev")), *groups(redis(), "-cache")]:
        assert not alone.ignore_changes


@pytest.mark.parametrize("now", [False, True])
def test_a_change_of_size_is_made_when_the_operator_says_now(now: bool) -> None:
    """B3."""
    built = redis(now=now)
    assert {g.inputs["applyImmediately"] for g in built.of("ReplicationGroup") if "nodeType" in g.inputs} == {now}


def test_it_exports_each_store_with_its_copies() -> None:
    value = redis().value
    assert value["caches"]["us-west"] == "us-west-cache.cluster"
    host, copies = value["sessions"]["us-west"]
    assert host == "us-west-sessions-in-us-west.primary"
    assert list(copies.items()) == [
        ("eu-central", "us-west-sessions-in-eu-central.reader"),
        ("ap-south", "us-west-sessions-in-ap-south.reader"),
    ]
