"""A policy pack judges a program in the real engine: the recipe, with the smallest pack there is.

The program is inline (Automation API), so that no language host is on PATH; beside the old Python host the CLI
would start the pack through it instead of through `pulumi-analyzer-policy-python`.
"""

from __future__ import annotations

from pathlib import Path

import pulumi
import pulumi_aws as aws
import pytest
from pulumi import automation

from tests.engine.conftest import EngineOn
from tests.engine.engine import Engine, project_of

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

def named(args, report):
    if args.resource_type == "aws:ec2/vpc:Vpc" and "Name" not in (args.props.get("tags") or {}):
        report("a VPC has no name")

PolicyPack("names", [ResourceValidationPolicy("vpc-named", "VPCs have names", named, EnforcementLevel.MANDATORY)])
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack with one mandatory rule."""
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "PulumiPolicy.yaml").write_text("runtime: python\n")
    (folder / "__main__.py").write_text(PACK)
    return folder


def _preview(engine: Engine, pack: Path, tags: dict[str, str]) -> None:
    def program() -> None:
        west = aws.Provider("west", region="us-west-2")
        aws.ec2.Vpc("v", cidr_block="10.0.0.0/16", tags=tags, opts=pulumi.ResourceOptions(provider=west))

    engine.inline(program).preview(policy_packs=[str(pack)])


def test_a_mandatory_violation_fails_the_preview(engine_on: EngineOn, pack: Path, tmp_path: Path) -> None:
    engine = engine_on(project_of(tmp_path, ""), language_host=False)
    with pytest.raises(automation.CommandError, match="a VPC has no name"):
        _preview(engine, pack, {})


def test_what_satisfies_the_pack_passes(engine_on: EngineOn, pack: Path, tmp_path: Path) -> None:
    engine = engine_on(project_of(tmp_path, ""), language_host=False)
    _preview(engine, pack, {"Name": "v"})
