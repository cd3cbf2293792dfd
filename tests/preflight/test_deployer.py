"""The deployer's policy document."""

from __future__ import annotations

import json

import pytest

from policies.stack import Stack
from preflight.__main__ import main
from preflight.deployer import policy
from tests.conftest import PlanOf


def test_it_names_every_service_of_the_plan_and_no_other(plan_of: PlanOf) -> None:
    first = policy(Stack(plan_of("prod").resources), "123456789012", "hal9")["Statement"][0]
    assert {"ec2:*", "eks:*", "rds:*", "elasticache:*", "kms:*", "logs:*", "elasticloadbalancing:*", "wafv2:*"} <= set(
        first["Action"]
    )
    assert not {"*", "iam:*", "organizations:*", "lb:*", "vpc:*"} & set(first["Action"])


def test_of_iam_it_may_change_the_stacks_own_roles_alone(plan_of: PlanOf) -> None:
    statements = policy(Stack(plan_of("prod").resources), "123456789012", "hal9")["Statement"]
    (own,) = [s for s in statements if s["Action"] == "iam:*"]
    assert "arn:aws:iam::123456789012:role/hal9-*" in own["Resource"]
    roles = [r.inputs["name"] for r in plan_of("prod").of_type("aws:iam/role:Role")]
    assert all(name.startswith("hal9-") for name in roles)


def test_the_command_prints_it_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "dev", "--deployer"]) == 0
    assert json.loads(capsys.readouterr().out)["Version"] == "2012-10-17"
