"""The whole program's plan: what production is made of, and what a change of the stack file changes."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from plan import Plan, Resource, run, schema
from tests.conftest import PlanOf
from tests.stackfiles import put

AWS = {"us-west": "us-west-2", "eu-central": "eu-central-1", "ap-south": "ap-south-1"}
SA_EAST = {"awsRegion": "sa-east-1", "cidr": "10.3.0.0/16", "zones": ["sa-east-1a", "sa-east-1b", "sa-east-1c"]}


def changed(*settings: tuple[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Edits of a stack file's `hal9:` keys, by path."""

    def edit(data: dict[str, Any]) -> None:
        inner = {key.removeprefix("hal9:"): value for key, value in data["config"].items() if key.startswith("hal9:")}
        for path, value in settings:
            put(path, value)(inner)
        data["config"].update({f"hal9:{key}": value for key, value in inner.items()})

    return edit


A_REGION_MORE = changed(("regions.sa-east", SA_EAST))
A_SHARD_MORE = changed(
    ("shards[2].slots[0]", "667-899"), ("shards[+]", {"id": 3, "home": "us-west", "slots": ["900-999"]})
)


def instances(plan: Plan) -> list[Resource]:
    return plan.of_type("aws:rds/instance:Instance")


def elsewhere(plan: Plan) -> list[Resource]:
    """Read replicas in another region than their primary's."""
    homes = {i.inputs["tags"]["shard"]: i.region for i in instances(plan) if "replicateSourceDb" not in i.inputs}
    replicas = [i for i in instances(plan) if "replicateSourceDb" in i.inputs]
    return [i for i in replicas if homes[i.inputs["tags"]["shard"]] != i.region]


# By count.


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("aws:ec2/vpc:Vpc", 3),
        ("aws:eks/cluster:Cluster", 3),
        ("aws:eks/nodeGroup:NodeGroup", 3 * (3 + 3)),
        ("aws:rds/instance:Instance", 3 + 6 + 3),
        ("aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication", 3),
        ("aws:elasticache/replicationGroup:ReplicationGroup", 3 + 3 + 6),
        ("aws:elasticache/globalReplicationGroup:GlobalReplicationGroup", 3),
        ("aws:cloudfront/distribution:Distribution", 1),
        ("aws:wafv2/webAcl:WebAcl", 1),
        ("aws:ec2/vpcPeeringConnection:VpcPeeringConnection", 3),
        ("aws:ec2/natGateway:NatGateway", 9),
        ("aws:ecr/repository:Repository", 3),
        ("aws:route53/healthCheck:HealthCheck", 3 + 1),
    ],
)
def test_production_has_as_many(plan_of: PlanOf, kind: str, count: int) -> None:
    assert len(plan_of("prod").of_type(kind)) == count


def test_each_cluster_has_an_on_demand_and_a_spot_group_in_each_zone(plan_of: PlanOf) -> None:
    groups = plan_of("prod").of_type("aws:eks/nodeGroup:NodeGroup")
    assert Counter((g.region, g.inputs["capacityType"]) for g in groups) == {
        (aws, capacity): 3 for aws in AWS.values() for capacity in ("ON_DEMAND", "SPOT")
    }


def test_three_shard_primaries_stand_in_three_regions(plan_of: PlanOf) -> None:
    primaries = [i for i in instances(plan_of("prod")) if "replicateSourceDb" not in i.inputs]
    assert sorted(i.region for i in primaries) == sorted(AWS.values())


def test_six_replicas_stand_in_other_regions_and_three_at_home(plan_of: PlanOf) -> None:
    plan = plan_of("prod")
    replicas = [i for i in instances(plan) if "replicateSourceDb" in i.inputs]
    assert (len(elsewhere(plan)), len(replicas) - len(elsewhere(plan))) == (6, 3)


def test_three_caches_and_three_datastores_with_two_secondaries_each(plan_of: PlanOf) -> None:
    groups = plan_of("prod").of_type("aws:elasticache/replicationGroup:ReplicationGroup")
    assert sorted(g.region for g in groups if "numNodeGroups" in g.inputs) == sorted(AWS.values())
    secondaries = [g for g in groups if "globalReplicationGroupId" in g.inputs]
    assert Counter(g.name.partition("-sessions-in-")[0] for g in secondaries) == dict.fromkeys(AWS, 2)


def test_each_region_has_an_nlb_behind_the_edge(plan_of: PlanOf) -> None:
    public = [b for b in plan_of("prod").of_type("aws:lb/loadBalancer:LoadBalancer") if not b.inputs["internal"]]
    assert sorted(b.region for b in public) == sorted(AWS.values())
    assert {b.inputs["loadBalancerType"] for b in public} == {"network"}


def test_dev_is_one_region_and_shares_nothing_with_others(plan_of: PlanOf) -> None:
    plan = plan_of("dev")
    count = Counter(r.kind for r in plan.resources)
    assert (count["Vpc"], count["NatGateway"], count["VpcPeeringConnection"], count["GlobalReplicationGroup"]) == (
        1,
        1,
        0,
        0,
    )
    assert len(instances(plan)) == 2


# Options that every resource must have.


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_resource_of_aws_and_kubernetes_has_an_explicit_provider_of_a_known_region(
    plan_of: PlanOf, stack: str
) -> None:
    plan = plan_of(stack)
    for resource in plan.resources:
        if resource.custom and resource.package in ("aws", "kubernetes") and not resource.is_provider:
            assert plan.by_urn[resource.provider].is_provider, resource.urn
            assert resource.region in {*AWS.values(), "us-east-1"}, resource.urn


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_what_stands_in_a_regions_cell_is_made_in_that_region(plan_of: PlanOf, stack: str) -> None:
    plan = plan_of(stack)
    for resource in plan.resources:
        cell = next((a.name for a in plan.ancestors(resource) if a.kind == "RegionCell"), None)
        if cell and resource.region:
            assert resource.region == AWS[cell], resource.urn


def test_there_is_one_aws_provider_for_each_region_and_one_for_the_edge(plan_of: PlanOf) -> None:
    providers = plan_of("prod").of_type("pulumi:providers:aws")
    assert sorted(p.inputs["region"] for p in providers) == sorted([*AWS.values(), "us-east-1"])
    assert {json.loads(p.inputs["allowedAccountIds"])[0] for p in providers} == {"123456789012"}  # text on the wire


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_every_child_has_a_component_as_its_parent(plan_of: PlanOf, stack: str) -> None:
    plan = plan_of(stack)
    loose = [r.urn for r in plan.resources if r.parent == plan.root and r.custom and not r.is_provider]
    assert loose == []


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_whatever_takes_tags_says_project_stack_owner_region_and_component(plan_of: PlanOf, stack: str) -> None:
    regions = {*AWS, "global"}
    tagged = [r for r in plan_of(stack).resources if r.package == "aws" and "tags" in r.inputs]
    assert len(tagged) > 100
    for resource in tagged:
        tags = resource.inputs["tags"]
        assert {"project", "stack", "owner", "region", "component"} <= tags.keys(), resource.urn
        assert (tags["project"], tags["stack"], tags["region"] in regions) == ("hal9", stack, True), resource.urn
        if tags["region"] in AWS and resource.region != "us-east-1":
            assert AWS[tags["region"]] == resource.region, resource.urn


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_nothing_that_could_be_tagged_is_not(plan_of: PlanOf, stack: str) -> None:
    for resource in plan_of(stack).resources:
        if resource.package == "aws" and resource.custom and not resource.is_provider:
            made_by = vars(schema.resource_class(resource.type))["_internal_init"]
            takes = "tags" in inspect.signature(made_by).parameters
            assert "tags" in resource.inputs or not takes, resource.urn


STATEFUL = {
    "aws:cloudfront/distribution:Distribution",
    "aws:ec2/vpc:Vpc",
    "aws:ecr/repository:Repository",
    "aws:eks/cluster:Cluster",
    "aws:kms/key:Key",
    "aws:lb/loadBalancer:LoadBalancer",
    "aws:rds/instance:Instance",
    "aws:route53/zone:Zone",
    "aws:secretsmanager/secret:Secret",
    "random:index/randomBytes:RandomBytes",
}
"""What cannot be made again as it was, or what others keep the address of."""


def test_production_protects_what_cannot_be_made_again(plan_of: PlanOf) -> None:
    stateful = [r for r in plan_of("prod").resources if r.type in STATEFUL]
    assert {r.type for r in stateful} == STATEFUL
    assert [r.urn for r in stateful if not r.protect] == []


def test_production_protects_every_session_store(plan_of: PlanOf) -> None:
    stores = [g for g in plan_of("prod").of_type("ReplicationGroup", "GlobalReplicationGroup") if "sessions" in g.name]
    assert len(stores) == 3 + 6 + 3
    assert [s.urn for s in stores if not s.protect] == []


def test_dev_protects_nothing(plan_of: PlanOf) -> None:
    assert [r.urn for r in plan_of("dev").resources if r.protect] == []


def test_the_program_asks_the_cloud_nothing(plan_of: PlanOf) -> None:
    assert plan_of("prod").invokes == ()


def test_two_plans_of_one_stack_file_are_equal(plan_of: PlanOf) -> None:
    assert run("dev") == plan_of("dev")


# A number in the stack file changes the plan accordingly, and nothing else.

CHANGES: dict[str, tuple[list[tuple[str, Any]], str, str, Callable[[Mapping[str, Any]], Any], Any]] = {
    "on-demand nodes": (
        [("cluster.onDemand.minNodes", 9), ("cluster.onDemand.maxNodes", 9)],  # a group a zone
        "dev",
        "aws:eks/nodeGroup:NodeGroup",
        lambda inputs: inputs["scalingConfig"]["minSize"],
        3,
    ),
    "spot nodes": (
        [("cluster.spot.maxNodes", 21)],
        "dev",
        "aws:eks/nodeGroup:NodeGroup",
        lambda inputs: inputs["scalingConfig"]["maxSize"],
        7,
    ),
    "node disks": (
        [("cluster.diskGib", 77)],
        "dev",
        "aws:ec2/launchTemplate:LaunchTemplate",
        lambda inputs: inputs["blockDeviceMappings"][0]["ebs"]["volumeSize"],
        77,
    ),
    "database storage": (
        [("database.storageGib", 33)],
        "dev",
        "aws:rds/instance:Instance",
        lambda inputs: inputs.get("allocatedStorage"),
        33,
    ),
    "backups": (
        [("database.backupRetentionDays", 9)],
        "dev",
        "aws:rds/instance:Instance",
        lambda inputs: inputs["backupRetentionPeriod"],
        9,
    ),
    "connections": (
        [("database.maxConnections", 350)],
        "dev",
        "aws:rds/parameterGroup:ParameterGroup",
        lambda inputs: {p["name"]: p["value"] for p in inputs["parameters"]}["max_connections"],
        "350",
    ),
    "cache shards": (
        [("redis.cache.shards", 2)],
        "dev",
        "aws:elasticache/replicationGroup:ReplicationGroup",
        lambda inputs: inputs.get("numNodeGroups"),
        2,
    ),
    "session replicas": (
        [("redis.sessions.replicas", 2)],
        "dev",
        "aws:elasticache/replicationGroup:ReplicationGroup",
        lambda inputs: inputs.get("numCacheClusters"),
        3,
    ),
    "flow logs": (
        [("network.flowLogRetentionDays", 14)],
        "dev",
        "aws:cloudwatch/logGroup:LogGroup",
        lambda inputs: inputs["retentionInDays"],
        14,
    ),
    "requests from one address": (
        [("edge.addressLimitPerFiveMinutes", 1234)],
        "dev",
        "aws:wafv2/webAcl:WebAcl",
        lambda inputs: [
            r["statement"]["rateBasedStatement"]["limit"]
            for r in inputs["rules"]
            if "rateBasedStatement" in r["statement"]
        ],
        [1234],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_number_in_the_stack_file_changes_the_plan_accordingly(plan_of: PlanOf, change: str) -> None:
    settings, stack, kind, read, value = CHANGES[change]
    before, after = plan_of(stack), plan_of(stack, changed(*settings))
    assert value not in [read(r.inputs) for r in before.of_type(kind)]
    assert value in [read(r.inputs) for r in after.of_type(kind)]
    assert before.urns <= after.urns
    assert {after.by_urn[urn].kind for urn in after.urns - before.urns} <= {"MetricAlarm"}  # of a node more
    assert {
        urn for urn in before.urns if before.inputs[urn] != after.inputs[urn] and before.by_urn[urn].package == "aws"
    } <= {r.urn for r in before.of_type(kind)} | {r.urn for r in before.of_type("Dashboard", "MetricAlarm")}


def test_fewer_replicas_are_fewer_instances(plan_of: PlanOf) -> None:
    plan = plan_of("prod", changed(("database.replicationFactor", 2)))
    assert (len(instances(plan)), len(elsewhere(plan))) == (9, 6)


def test_a_zone_more_only_creates_subnets_and_what_stands_in_them(plan_of: PlanOf) -> None:
    before = plan_of("prod")
    after = plan_of("prod", changed(("regions.us-west.zones[+]", "us-west-2d")))
    assert before.urns < after.urns
    new = [after.by_urn[urn] for urn in after.urns - before.urns]
    assert {r.kind for r in new if r.region == "us-west-2"} >= {"Subnet", "NatGateway", "RouteTable"}
    same = [r.urn for r in before.of_type("Subnet", "Route", "RouteTable", "NatGateway", "Vpc", "Instance", "Cluster")]
    assert {u: before.inputs[u] for u in same if "SubnetGroup" not in u and before.by_urn[u].kind != "Cluster"} == {
        u: after.inputs[u] for u in same if "SubnetGroup" not in u and before.by_urn[u].kind != "Cluster"
    }


# Growth only creates.


def altered(before: Plan, after: Plan) -> list[str]:
    """What exists in both plans in AWS, and is not the same in its inputs or its options."""
    return [
        urn
        for urn in sorted(before.urns & after.urns)
        if before.by_urn[urn].package in ("aws", "random", "tls", "pulumi")
        and (before.inputs[urn], before.by_urn[urn].provider, before.by_urn[urn].parent)
        != (after.inputs[urn], after.by_urn[urn].provider, after.by_urn[urn].parent)
    ]


@pytest.mark.parametrize("edit", [A_REGION_MORE, A_SHARD_MORE], ids=["region", "shard"])
def test_growth_deletes_nothing(plan_of: PlanOf, edit: Callable[[dict[str, Any]], None]) -> None:
    before, after = plan_of("prod"), plan_of("prod", edit)
    assert before.urns < after.urns


@pytest.mark.parametrize("edit", [A_REGION_MORE, A_SHARD_MORE], ids=["region", "shard"])
def test_growth_changes_nothing_in_aws(plan_of: PlanOf, edit: Callable[[dict[str, Any]], None]) -> None:
    assert altered(plan_of("prod"), plan_of("prod", edit)) == []


def test_a_region_more_is_a_whole_cell_peered_with_all_others(plan_of: PlanOf) -> None:
    before, after = plan_of("prod"), plan_of("prod", A_REGION_MORE)
    new = Counter(after.by_urn[urn].kind for urn in after.urns - before.urns)
    assert (new["Vpc"], new["VpcPeeringConnection"], new["GlobalReplicationGroup"]) == (1, 3, 1)
    assert len(instances(after)) - len(instances(before)) == 3  # a replica of each shard


def test_a_shard_more_is_a_primary_with_a_replica_in_each_region(plan_of: PlanOf) -> None:
    before, after = plan_of("prod"), plan_of("prod", A_SHARD_MORE)
    new = {r.name for r in instances(after)} - {r.name for r in instances(before)}
    home = next(r for r in AWS if f"shard-3-{r}-second" in new)
    assert new == {*(f"shard-3-{region}" for region in AWS), f"shard-3-{home}-second"}


# What the operator gets.


def test_the_outputs_are_what_an_operator_needs_next(plan_of: PlanOf) -> None:
    outputs = plan_of("prod").outputs
    assert set(outputs) >= {
        "url",
        "edge",
        "nameServers",
        "clusters",
        "kubeconfig",
        "registries",
        "loadBalancers",
        "deployment",
        "topology",
    }
    assert {name: set(outputs[name]) for name in ("clusters", "kubeconfig", "registries", "loadBalancers")} == {
        name: set(AWS) for name in ("clusters", "kubeconfig", "registries", "loadBalancers")
    }


def test_no_output_holds_a_secret(plan_of: PlanOf) -> None:
    assert "[secret]" not in json.dumps(plan_of("prod").outputs)
