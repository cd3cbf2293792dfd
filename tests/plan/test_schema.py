"""Inputs against the SDKs' own types."""

from __future__ import annotations

import pytest

from plan.schema import check_inputs
from plan.values import SENTINEL, Unknown, wrap_secret


def problems(token: str, **inputs: object) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in check_inputs(token, inputs)]


VPC = "aws:ec2/vpc:Vpc"
CLUSTER = "aws:eks/cluster:Cluster"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"


def test_right_inputs_have_no_problem() -> None:
    assert problems(VPC, cidrBlock="10.0.0.0/16", enableDnsSupport=True, tags={"a": "b"}) == []


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    assert problems(VPC, cidrBlok="x") == [("cidrBlok", "no such name; did you mean cidrBlock?")]


def test_a_python_name_is_told_in_camel_case() -> None:
    assert problems(VPC, enable_dns_support=True) == [
        ("enable_dns_support", "no such name; did you mean enableDnsSupport?")
    ]


@pytest.mark.parametrize(
    ("value", "got"),
    [(3.0, "a whole number"), (True, "true or false"), (["a"], "a list"), ({"a": 1}, "an object")],
)
def test_a_wrong_type_says_what_was_expected(value: object, got: str) -> None:
    assert problems(VPC, cidrBlock=value) == [("cidrBlock", f"expected a string, got {got}")]


def test_a_number_is_no_switch() -> None:
    assert problems(VPC, enableDnsSupport=1.0) == [("enableDnsSupport", "expected true or false, got a whole number")]


def test_a_fraction_is_no_whole_number() -> None:
    assert ("port", "expected a whole number, got a fraction") in problems(
        "aws:rds/instance:Instance", instanceClass="db.r6g.large", port=5432.5
    )


def test_a_missing_required_input_is_told() -> None:
    assert problems("aws:rds/instance:Instance", port=5432.0) == [("instanceClass", "missing; it is required")]


def test_nested_inputs_are_told_with_their_path() -> None:
    assert problems(CLUSTER, roleArn="r", vpcConfig={"subnetIds": ["a", 3.0], "colour": True}) == [
        ("vpcConfig.colour", "no such name"),
        ("vpcConfig.subnetIds[1]", "expected a string, got a whole number"),
    ]


def test_a_value_of_a_map_is_told_with_its_key() -> None:
    assert problems(VPC, tags={"shard": 1.0}) == [("tags.shard", "expected a string, got a whole number")]


@pytest.mark.parametrize("unknown", [SENTINEL, Unknown(), wrap_secret(SENTINEL)])
def test_an_unknown_fits_everywhere(unknown: object) -> None:
    assert problems(CLUSTER, roleArn=unknown, vpcConfig=unknown) == []


def test_an_unknown_counts_as_given() -> None:
    assert problems("aws:rds/instance:Instance", instanceClass=SENTINEL) == []


def test_a_secret_is_looked_into() -> None:
    assert problems(VPC, cidrBlock=wrap_secret(3.0)) == [("cidrBlock", "expected a string, got a whole number")]


def test_a_strict_enum_takes_only_its_values() -> None:
    policy = {"Version": "2024-01-01", "Statement": []}
    assert problems("aws:iam/role:Role", assumeRolePolicy=policy) == [
        ("assumeRolePolicy.Version", "must be '2012-10-17' or '2008-10-17'")
    ]


def test_a_union_takes_each_of_its_types() -> None:
    budget = "kubernetes:policy/v1:PodDisruptionBudget"
    assert problems(budget, spec={"maxUnavailable": "10%"}) == problems(budget, spec={"maxUnavailable": 1.0}) == []


def test_kubernetes_objects_are_checked_to_the_depth() -> None:
    container = {"name": "app", "image": 3.0, "ports": [{"containerPort": "9000"}]}
    spec = {"selector": {"match_labels": {}}, "template": {"spec": {"containers": [container]}}}
    assert problems(DEPLOYMENT, apiVersion="apps/v1", kind="Deployment", spec=spec) == [
        ("spec.selector.match_labels", "no such name; did you mean matchLabels?"),
        ("spec.template.spec.containers[0].image", "expected a string, got a whole number"),
        ("spec.template.spec.containers[0].ports[0].containerPort", "expected a whole number, got a string"),
    ]


def test_a_literal_must_be_the_one() -> None:
    assert problems("kubernetes:core/v1:Namespace", apiVersion="v2", kind="Namespace") == [
        ("apiVersion", "must be 'v1'")
    ]


def test_an_object_of_a_definition_is_checked_on_the_outside() -> None:
    assert problems(
        "kubernetes:networking.istio.io/v1:VirtualService",
        apiVersion="networking.istio.io/v1",
        kind="VirtualService",
        metadata={"nam": "x"},
        spec={"anything": [1]},
    ) == [("metadata.nam", "no such name; did you mean name?")]


def test_an_object_of_a_definition_needs_its_version() -> None:
    assert problems("kubernetes:networking.istio.io/v1:VirtualService", kind="VirtualService") == [
        ("apiVersion", "missing; it is required")
    ]


@pytest.mark.parametrize("token", ["aws:ec2/vpcs:Vpcs", "kubernetes:apps/v1:Deploymnt"])
def test_an_unknown_type_is_a_problem(token: str) -> None:
    package = token.split(":", maxsplit=1)[0]
    assert problems(token) == [("", f"the {package} SDK has no resource type {token}")]


def test_an_unknown_package_is_a_problem() -> None:
    assert problems("nowhere:a/b:C") == [("", "no SDK is installed for the package nowhere")]


def test_a_providers_encoded_inputs_are_opened() -> None:
    token = "pulumi:providers:aws"
    right = {"region": "us-west-2", "defaultTags": '{"tags": {"a": "b"}}', "skipRegionValidation": "true"}
    assert problems(token, **right) == []
    assert problems(token, defaultTags='{"tags": {"a": 1}}') == [
        ("defaultTags.tags.a", "expected a string, got a whole number")
    ]


def test_no_message_holds_a_value() -> None:
    found = check_inputs(VPC, {"cidrBlock": ["hunter2"], "tags": "hunter2", "enableDnsSupport": "hunter2"})
    assert len(found) == 3
    assert "hunter2" not in str(found)
