"""A region's customer keys (control 22)."""

from __future__ import annotations

import functools
import json

import pulumi
import pytest

from components.keys import PURPOSES, RegionKeys
from components.region import aws_provider
from tests.components.mocked import Built, build, document
from tests.stackfiles import topology

ROOT = "arn:aws:iam::123456789012:root"


@functools.cache
def keys(stack: str = "prod", preview: bool = False) -> Built:
    def make() -> dict[str, pulumi.Output[str]]:
        parsed = topology(stack)
        opts = pulumi.ResourceOptions(providers=[aws_provider("us-west", "us-west-2", parsed)])
        return RegionKeys("us-west", "us-west-2", parsed, opts=opts).arns

    return build(make, stack=stack, preview=preview)


def test_each_purpose_has_a_key_and_a_name() -> None:
    assert {k.name for k in keys().of("Key")} == {f"us-west-{purpose}" for purpose in PURPOSES}
    assert {a.inputs["name"] for a in keys().of("Alias")} == {
        f"alias/hal9-prod-us-west-{purpose}" for purpose in PURPOSES
    }


def test_every_key_rotates() -> None:
    assert {k.inputs["enableKeyRotation"] for k in keys().of("Key")} == {True}


def test_every_key_has_a_policy_that_leaves_the_account_in_charge() -> None:
    for key in keys().of("Key"):
        first = document(key.inputs["policy"])["Statement"][0]
        assert (first["Principal"], first["Action"]) == ({"AWS": ROOT}, "kms:*")


def test_whoever_else_may_use_a_key_is_bound_to_this_account() -> None:
    for key in keys().of("Key"):
        for statement in document(key.inputs["policy"])["Statement"][1:]:
            assert "123456789012" in str(statement)
            assert statement["Principal"] != "*"
            assert "kms:*" not in statement["Action"]


def test_no_key_names_a_role_that_a_fresh_account_lacks() -> None:
    """A1: KMS refuses a principal that does not exist, and the node group that makes the role waits for the key."""
    for key in keys().of("Key"):
        for statement in document(key.inputs["policy"])["Statement"]:
            assert "/aws-service-role/" not in json.dumps(statement["Principal"])


def test_node_disks_are_the_autoscaling_services_own_roles_to_make_and_no_one_elses() -> None:
    statements = document(keys().one("Key", "us-west-cluster").inputs["policy"])["Statement"][1:]
    for statement in statements:
        assert statement["Principal"] == {"AWS": "*"}
        assert statement["Condition"]["StringEquals"] == {"kms:CallerAccount": "123456789012"}
        role = statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]
        assert role.endswith(
            "123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        )
    (grant,) = [s for s in statements if s["Action"] == "kms:CreateGrant"]
    assert grant["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}


def test_the_logs_service_uses_the_telemetry_key_for_this_accounts_logs_alone() -> None:
    statements = document(keys().one("Key", "us-west-telemetry").inputs["policy"])["Statement"]
    logs = next(s for s in statements if s["Principal"] == {"Service": "logs.us-west-2.amazonaws.com"})
    assert logs["Condition"]["ArnLike"]["kms:EncryptionContext:aws:logs:arn"] == "arn:aws:logs:us-west-2:123456789012:*"


@pytest.mark.parametrize(("stack", "kept", "days"), [("prod", True, 30), ("dev", False, 7)])
def test_production_keeps_its_keys(stack: str, kept: bool, days: int) -> None:
    assert {(k.protect, k.inputs["deletionWindowInDays"]) for k in keys(stack).of("Key")} == {(kept, days)}


def test_it_exports_an_arn_for_each_purpose() -> None:
    assert keys().value == {purpose: f"arn:Key:us-west-{purpose}" for purpose in PURPOSES}
