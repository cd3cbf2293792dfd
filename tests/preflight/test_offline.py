"""The preflight's offline half: both stacks pass, and each mistake of a kind that only AWS knows is found."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from facts import account
from plan import Plan
from policies import tokens
from policies.stack import Stack
from preflight import needs, offline
from preflight.__main__ import main
from preflight.finding import Finding
from tests.conftest import PlanOf
from tests.policies.edits import ABSENT, Path, edited, fields, put
from tests.stackfiles import ROOT, topology

TODAY = date(2026, 11, 28)
ALARM = "us-west-cache-0001-001-memory"


def stack_of(plan: Plan) -> Stack:
    return Stack(plan.resources)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_stack_file_of_ours_passes(plan_of: PlanOf, stack: str) -> None:
    assert offline.findings(stack_of(plan_of(stack)), TODAY) == []


def found(plan: Plan, token: str, name: str, path: Path, value: Any) -> list[Finding]:
    return offline.findings(edited(stack_of(plan), token, [name], put(path, value)), TODAY)


def policy(principal: Any) -> str:
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:Decrypt", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


AUTOSCALING = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
SPOT = "arn:aws:iam::123456789012:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"

MISTAKES: dict[str, tuple[str, str, Path, Any, str, str]] = {
    "the old m5n in ap-south": (
        tokens.NODE_GROUP,
        "ap-south-spot-a",
        ("instanceTypes", 0),
        "m5n.2xlarge",
        "types are sold",
        "m5n.2xlarge is not sold in ap-south-1a",
    ),
    "another type that a region lacks, on demand": (
        tokens.NODE_GROUP,
        "ap-south-on-demand-b",
        ("instanceTypes",),
        ["m5zn.2xlarge"],
        "types are sold",
        "m5zn.2xlarge is not sold in ap-south-1b",
    ),
    "an alarm on a dimension that is not there": (
        offline.ALARM,
        ALARM,
        ("dimensions",),
        {"ReplicationGroupId": "one"},
        "alarms can fire",
        "does not exist under {ReplicationGroupId}",
    ),
    "an alarm on one dimension of two": (
        offline.ALARM,
        "us-west-gateway-healthy",
        ("dimensions",),
        {"TargetGroup": "one"},
        "alarms can fire",
        "does not exist under {TargetGroup}",
    ),
    "an alarm on a metric that is not there": (
        offline.ALARM,
        ALARM,
        ("metricName",),
        "DatabaseMemoryUsage",
        "alarms can fire",
        "no source has a metric DatabaseMemoryUsage",
    ),
    "an alarm on another service's dimension": (
        offline.ALARM,
        "shard-0-us-west-cpu",
        ("dimensions",),
        {"InstanceId": "i-1"},
        "alarms can fire",
        "does not exist under {InstanceId}",
    ),
    "a key policy that names a role a fresh account lacks": (
        tokens.KEY,
        "us-west-cluster",
        ("policy",),
        policy(AUTOSCALING),
        "principals exist",
        "AWSServiceRoleForAutoScaling",
    ),
    "the same among others": (
        tokens.KEY,
        "eu-central-database",
        ("policy",),
        policy(["arn:aws:iam::123456789012:root", SPOT]),
        "principals exist",
        "AWSServiceRoleForEC2Spot",
    ),
    "a topic's policy that does": (
        "aws:sns/topicPolicy:TopicPolicy",
        "us-west-alarms",
        ("policy",),
        policy(AUTOSCALING),
        "principals exist",
        "AWSServiceRoleForAutoScaling",
    ),
    "a node group whose change empties a region": (
        tokens.NODE_GROUP,
        "us-west-on-demand-a",
        ("nodeGroupName",),
        "hal9-prod-us-west-on-demand",
        "nodes stay",
        "instanceTypes",
    ),
    "a retention that CloudWatch does not take": (
        offline.LOG_GROUP,
        "us-west-flows",
        ("retentionInDays",),
        45,
        "log retention",
        "no retention of 45 days",
    ),
    "a version past its support": (
        tokens.EKS,
        "us-west",
        ("version",),
        "1.33",
        "versions supported",
        "left standard support on 2026-07-29",
    ),
    "a version that EKS has not": (
        tokens.EKS,
        "us-west",
        ("version",),
        "1.99",
        "versions supported",
        "EKS has no version 1.99",
    ),
    "kube-proxy of another version": (
        offline.ADD_ON,
        "us-west-kube-proxy",
        ("addonVersion",),
        "v1.33.0-eksbuild.2",
        "versions supported",
        "is not Kubernetes 1.35's",
    ),
    "a replica that cannot be deleted": (
        tokens.RDS,
        "shard-0-ap-south",
        ("skipFinalSnapshot",),
        False,
        "replicas can go",
        "cannot be deleted",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_alone_with_its_fact_and_source(plan_of: PlanOf, mistake: str) -> None:
    token, name, path, value, check, fact = MISTAKES[mistake]
    findings = found(plan_of("prod"), token, name, path, value)
    assert [finding.check for finding in findings] == [check]
    (finding,) = findings
    assert finding.resource.startswith(name)
    assert fact in finding.fact
    assert finding.source
    assert finding.instead


def test_a_role_that_the_stack_makes_may_be_named(plan_of: PlanOf) -> None:
    changed = edited(stack_of(plan_of("prod")), tokens.KEY, ["us-west-cluster"], put(("policy",), policy(AUTOSCALING)))
    key = changed.of(tokens.KEY)[0]
    from dataclasses import replace

    role = replace(
        key,
        urn="urn:role",
        type="aws:iam/serviceLinkedRole:ServiceLinkedRole",
        name="autoscaling",
        inputs={"awsServiceName": "autoscaling.amazonaws.com"},
    )
    assert offline.findings(Stack((*changed.resources, role)), TODAY) == []


def test_a_group_that_is_deleted_before_its_successor_is_made_is_found(plan_of: PlanOf) -> None:
    changed = edited(
        stack_of(plan_of("prod")), tokens.NODE_GROUP, ["us-west-spot-c"], fields(delete_before_replace=True)
    )
    assert [finding.check for finding in offline.findings(changed, TODAY)] == ["nodes stay"]


def test_backups_to_where_rds_does_not_replicate_them_are_found(plan_of: PlanOf) -> None:
    copy = "shard-1-eu-central-backups-in-us-west"
    changed = edited(stack_of(plan_of("prod")), tokens.RDS_BACKUPS_ELSEWHERE, [copy], fields(region="ap-south-1"))
    (finding,) = offline.findings(changed, TODAY)
    assert (finding.check, "from eu-central-1 to ap-south-1" in finding.fact) == ("backup pairs", True)


def test_a_metric_of_somebody_elses_is_not_judged(plan_of: PlanOf) -> None:
    assert found(plan_of("prod"), offline.ALARM, ALARM, ("namespace",), "HAL9/Server") == []


def test_dimensions_that_are_absent_are_the_account_wide_ones(plan_of: PlanOf) -> None:
    assert found(plan_of("prod"), offline.ALARM, ALARM, ("dimensions",), ABSENT) == []
    (finding,) = found(plan_of("prod"), offline.ALARM, "shard-0-us-west-cpu", ("dimensions",), ABSENT)
    assert "does not exist under {}" in finding.fact


# Quotas.


def by_name(plan: Plan, region: str) -> dict[str, needs.Need]:
    return {need.quota: need for need in needs.needs(stack_of(plan)) if need.region == region}


def test_an_upgrade_of_the_nodes_is_in_what_a_region_needs(plan_of: PlanOf) -> None:
    """B5: four nodes of eight vCPUs, and two in each of three zones that an upgrade adds."""
    need = by_name(plan_of("prod"), "us-west-2")["vcpus-on-demand"]
    assert (need.least, need.most) == ((4 + 6) * 8, (8 + 6) * 8)


def test_64_vcpus_for_an_upgrade_that_needs_80_are_found(plan_of: PlanOf) -> None:
    findings = list(needs.shortfalls(stack_of(plan_of("prod")), {"vcpus-on-demand": 64}))
    assert len(findings) == 3
    assert all("needs 80 at the least, 112 at the most" in f.fact and "granted are 64" in f.fact for f in findings)
    assert "aws service-quotas request-service-quota-increase" in findings[0].instead


def test_what_is_enough_is_no_finding(plan_of: PlanOf) -> None:
    assert list(needs.shortfalls(stack_of(plan_of("prod")), {"vcpus-on-demand": 112, "vcpus-spot": 224})) == []


def test_one_group_over_three_zones_needs_as_much_as_three(plan_of: PlanOf) -> None:
    """The quota before nodes had a group a zone."""
    stack = stack_of(plan_of("prod"))
    name = "us-west-on-demand-a"
    stack = edited(stack, tokens.NODE_GROUP, [name], put(("scalingConfig",), {"minSize": 4, "maxSize": 8}))
    stack = edited(stack, tokens.NODE_GROUP, [name], put(("subnetIds",), ["a", "b", "c"]))
    others = {f"us-west-on-demand-{zone}" for zone in "bc"}
    stack = Stack(tuple(r for r in stack.resources if not (r.type == tokens.NODE_GROUP and r.name in others)))
    (need,) = [n for n in needs.needs(stack) if n.region == "us-west-2" and n.quota == "vcpus-on-demand"]
    assert (need.least, need.most) == (80, 112)


def test_cache_nodes_are_counted_by_shard_and_replica(plan_of: PlanOf) -> None:
    assert by_name(plan_of("prod"), "us-west-2")["cache-nodes"].most == 1 * 2 + 2 + 2 * 2


def test_the_quotas_of_a_stack_file_are_known_ones() -> None:
    from tests.stackfiles import put as setting
    from tests.stackfiles import refusal

    assert topology("prod", setting("quotas.vcpus-on-demand", 112)).quotas == {"vcpus-on-demand": 112}
    (line,) = refusal("prod", setting("quotas.vcpu", 112))
    assert line.startswith("hal9:quotas.vcpu 'vcpu' is no quota; there are ")


def test_the_readme_asks_for_what_production_needs(plan_of: PlanOf) -> None:
    """It asked for 64, and the first upgrade of the nodes needed 80."""
    said = " ".join((ROOT / "README.md").read_text().split())
    found = by_name(plan_of("prod"), "us-west-2")
    assert f"{found['vcpus-on-demand'].most} running on-demand standard vCPUs" in said
    assert f"{found['vcpus-spot'].most} spot vCPUs" in said
    others = [need for name, need in found.items() if not name.startswith("vcpus")]
    assert all(need.most <= account.quota(need.quota).default for need in others)


# The command.


def test_the_command_passes_and_prints_what_to_ask_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "dev", "--today", "2026-11-28"]) == 0
    out = capsys.readouterr().out
    assert "dev: no findings" in out
    assert "--quota-code L-1216C47A" in out


def test_the_command_fails_on_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    """Dev's version is past its support one day."""
    assert main(["--stack", "dev", "--today", "2027-03-28"]) == 1
    assert "Kubernetes 1.35 left standard support on 2027-03-27" in " ".join(capsys.readouterr().out.split())


def test_a_stack_that_cannot_be_planned_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "nowhere"]) == 1
    captured = capsys.readouterr()
    assert "nowhere" in captured.err
    assert "Traceback" not in captured.err + captured.out
