"""The real program and the real stack files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plan import Plan
from plan.export import to_json
from plan.manifests import manifests
from plan.program import REPOSITORY
from plan.report import Style, report
from tests.conftest import PlanOf

STACKS = ["dev", "prod"]


@pytest.fixture(params=STACKS)
def plan(request: pytest.FixtureRequest, plan_of: PlanOf) -> Plan:
    return plan_of(request.param)


def test_every_resource_has_a_parent_that_is_registered(plan: Plan) -> None:
    assert [r.urn for r in plan.resources if r.parent not in plan.urns | {plan.root}] == []


def test_every_aws_resource_has_a_region(plan: Plan) -> None:
    assert [r.urn for r in plan.resources if r.package == "aws" and not r.region] == []


def test_nothing_asks_the_cloud(plan: Plan) -> None:
    assert plan.invokes == ()


def test_the_program_says_nothing(plan: Plan) -> None:
    assert plan.messages == ()


def test_the_report_fits_a_hundred_columns(plan: Plan) -> None:
    assert max(map(len, report(plan, Style(colours=False)).splitlines())) <= 100


def test_every_password_and_key_is_secret(plan: Plan) -> None:
    text = to_json(plan)
    assert "PRIVATE KEY" not in text
    for resource in plan.of_type("aws:secretsmanager/secretVersion:SecretVersion"):
        assert resource.inputs["secretString"] in ("[secret]", "[unknown secret]"), resource.urn


def test_every_manifest_is_of_a_cluster_of_the_plan(plan: Plan) -> None:
    clusters = {r.name for r in plan.of_type("pulumi:providers:kubernetes")}
    assert {path.split("/")[0] for path in manifests(plan)} <= clusters


@pytest.mark.parametrize("stack", STACKS)
def test_a_process_of_its_own_plans_the_same_without_a_network(stack: str, plan_of: PlanOf, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*a, **k): raise RuntimeError('the network was used')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.socket.bind = refuse\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
    )
    environment = {"PATH": "", "PYTHONPATH": f"{tmp_path}:{REPOSITORY}", "HOME": str(tmp_path), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "plan", "preview", "--stack", stack, "--quiet", "--json", str(tmp_path / "o.json")]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "o.json").read_text() == to_json(plan_of(stack))
