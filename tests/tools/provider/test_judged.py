"""AWS's own provider finds in prod's plan what is put there wrong, each by its resource, and nothing else."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plan import Plan, Resource
from tests.conftest import PlanOf
from tools.provider.check import Report, checked
from tools.provider.protocol import installed

pytestmark = [pytest.mark.provider, pytest.mark.timeout(300)]

WRONG: dict[str, tuple[str, str, Any, str]] = {
    "a block that is none": ("aws:ec2/vpc:Vpc", "cidrBlock", "10.0.0.0/33", "invalid CIDR"),
    "a network of no kind": ("aws:rds/instance:Instance", "networkType", "IPV9", "network_type"),
    "a window without minutes": ("aws:rds/instance:Instance", "maintenanceWindow", "sun:5-sun:6", "must satisfy"),
    "a retention that is none": ("aws:cloudwatch/logGroup:LogGroup", "retentionInDays", 45, "retention_in_days"),
    "an alarm without a statistic": ("aws:cloudwatch/metricAlarm:MetricAlarm", "statistic", "Median", "statistic"),
    "a policy that is no JSON": ("aws:iam/rolePolicy:RolePolicy", "policy", "{Statement", "invalid JSON"),
    "an ARN that is none": ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "policyArn", "admin", "invalid ARN"),
    "a name that is too long": ("aws:lb/targetGroup:TargetGroup", "name", "x" * 33, "cannot be longer than 32"),
    "a capacity that is none": ("aws:eks/nodeGroup:NodeGroup", "capacityType", "CHEAP", "capacity_type"),
    "an engine that is none": ("aws:elasticache/replicationGroup:ReplicationGroup", "engine", "mongo", "engine"),
    "a key that goes too soon": ("aws:kms/key:Key", "deletionWindowInDays", 1, "deletion_window_in_days"),
    "a secret kept too long": (
        "aws:secretsmanager/secret:Secret",
        "recoveryWindowInDays",
        90,
        "recovery_window_in_days",
    ),
}


def _plugin() -> Path:
    plugin = installed()
    assert plugin is not None, "`.ci/tfcheck` asks for it first"
    return plugin


def _spoiled(plan: Plan, type_: str, name: str, value: Any, mark: str) -> Resource:
    """The first resource of a type that has such an input, with another value and a name of its own."""
    found = next(r for r in plan.of_type(type_) if r.inputs.get(name) is not None or name not in r.inputs)
    return replace(found, urn=f"{found.urn}-{mark}", name=mark, inputs=copy.deepcopy({**found.inputs, name: value}))


@pytest.fixture(scope="module")
def report(plan_of: PlanOf) -> Report:
    """What the provider says of a plan that has each mistake once."""
    plan = plan_of("prod")
    spoiled = [_spoiled(plan, type_, name, value, mark) for mark, (type_, name, value, _) in WRONG.items()]
    return checked(replace(plan, resources=tuple(spoiled)), _plugin())


@pytest.mark.parametrize("mark", WRONG)
def test_a_mistake_is_found_at_its_resource(mark: str, report: Report) -> None:
    type_, _, _, said = WRONG[mark]
    found = [finding.what for finding in report.errors if finding.resource == f"{type_} {mark}"]
    assert any(said in what for what in found), found


def test_nothing_else_is_found(report: Report) -> None:
    assert {finding.resource.split(" ", 1)[1] for finding in report.errors} == set(WRONG)


def test_a_property_that_is_missing_is_found(plan_of: PlanOf) -> None:
    plan = plan_of("dev")
    group = plan.of_type("aws:rds/subnetGroup:SubnetGroup")[0]
    without = replace(group, inputs={name: value for name, value in group.inputs.items() if name != "subnetIds"})
    (finding,) = checked(replace(plan, resources=(without,)), _plugin()).errors
    assert "subnet_ids" in finding.what


def test_a_password_of_characters_that_a_store_refuses_is_found(plan_of: PlanOf) -> None:
    plan = plan_of("dev")
    store = plan.of_type("aws:elasticache/replicationGroup:ReplicationGroup")[0]
    made_by = plan.by_urn[store.property_dependencies["authToken"][0]]
    refused = replace(made_by, inputs={**made_by.inputs, "special": True, "overrideSpecial": "/@"})
    assert checked(replace(plan, resources=(store, made_by)), _plugin()).errors == []
    (finding,) = checked(replace(plan, resources=(store, refused)), _plugin()).errors
    assert "auth_token" in finding.what
