"""Small programs to plan."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest

from plan import Plan, ProgramFailed, Refused, run

PREAMBLE = """\
import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
import pulumi_random as random

west = aws.Provider("west", region="us-west-2")
opts = pulumi.ResourceOptions(provider=west)
"""
LINES = PREAMBLE.count("\n")

CONFIG: Mapping[str, Any] = {"pulumi:disable-default-providers": ["aws", "kubernetes"]}


class Programs(Protocol):
    """Writes a program after the preamble as a project of its own, and gives its directory."""

    def __call__(self, body: str, config: Mapping[str, Any] | None = None, preamble: str = PREAMBLE) -> Path: ...


class Planned(Protocol):
    """Plans such a program as the stack `dev`."""

    def __call__(self, body: str, config: Mapping[str, Any] | None = None) -> Plan: ...


@pytest.fixture
def program(tmp_path: Path) -> Programs:
    def write(body: str, config: Mapping[str, Any] | None = None, preamble: str = PREAMBLE) -> Path:
        import yaml

        (tmp_path / "Pulumi.yaml").write_text("name: sample\nruntime: python\n")
        (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": {**CONFIG, **(config or {})}}))
        (tmp_path / "__main__.py").write_text(preamble + textwrap.dedent(body))
        return tmp_path

    return write


@pytest.fixture
def planned(program: Programs) -> Planned:
    def plan(body: str, config: Mapping[str, Any] | None = None) -> Plan:
        return run("dev", project=program(body, config))

    return plan


URN = "urn:pulumi:dev::sample::"

NET = """
class Net(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("hal9:network:Net", name, {}, opts)
        self.vpc = aws.ec2.Vpc(name, cidr_block="10.0.0.0/16", opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({"vpc_id": self.vpc.id})
"""


def refusals(planned: Planned, body: str) -> list[str]:
    with pytest.raises(Refused) as caught:
        planned(body)
    return [str(refusal) for refusal in caught.value.refusals]


def failure(planned: Planned, body: str) -> str:
    with pytest.raises(ProgramFailed) as caught:
        planned(body)
    return str(caught.value)
