"""A plan is judged resource by resource, and what was found or not asked is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from plan import Plan, Resource
from plan.values import Unknown
from tools.lanes import ABSENT
from tools.provider import __main__ as command
from tools.provider.check import checked


def resource(called: str, kind: str = "aws:ec2/vpc:Vpc", region: str = "us-west-2", **inputs: object) -> Resource:
    return Resource(urn=called, type=kind, name=called, parent="", custom=True, region=region, inputs=inputs)


def plan(*resources: Resource) -> Plan:
    return Plan("hal9", "dev", resources, {})


def test_a_right_plan_has_no_error(plugin: Path) -> None:
    report = checked(plan(resource("a", cidrBlock="10.0.0.0/16"), resource("b", cidrBlock=Unknown())), plugin)
    assert (report.asked, report.errors, report.version) == (2, [], "9.1.0")
    assert command.told("dev", report) == "dev: aws provider 9.1.0 was asked about 2 resources: no errors"


def test_each_wrong_resource_is_told_by_its_own_name_whatever_its_region(plugin: Path) -> None:
    wrong = (resource("a", cidrBlock="ten"), resource("b", region="eu-central-1", cidrBlock="eleven"))
    report = checked(plan(*wrong, resource("c", cidrBlock="10.0.0.0/16")), plugin)
    assert [finding.resource for finding in report.errors] == ["aws:ec2/vpc:Vpc b", "aws:ec2/vpc:Vpc a"]
    assert "  error: aws:ec2/vpc:Vpc a\n    cidr_block: no CIDR block: two lines" in command.told("dev", report)


def test_what_the_provider_does_not_know_is_told_and_no_error(plugin: Path) -> None:
    newer = resource("a", cidrBlock="10.0.0.0/16", newest=True)
    report = checked(plan(newer, resource("b", kind="aws:new/thing:Thing")), plugin)
    assert report.errors == []
    assert command.told("dev", report).splitlines()[1:] == [
        "  not asked, newer than it: aws:new/thing:Thing",
        "  not asked, newer than it: aws:ec2/vpc:Vpc newest",
    ]


def test_a_value_of_a_wrong_kind_and_a_provider_that_dies_are_errors_of_that_resource(plugin: Path) -> None:
    dies = resource("a", cidrBlock="10.0.0.0/16", name="die")
    report = checked(plan(dies, resource("b", cidrBlock="10.0.0.0/16", tags="none")), plugin)
    assert [(finding.resource, finding.what) for finding in report.errors] == [
        ("aws:ec2/vpc:Vpc a", "the provider died at aws_vpc: what it had to ask of AWS, or a fault of its own"),
        ("aws:ec2/vpc:Vpc b", "tags is no map"),
    ]


def test_where_no_provider_is_installed_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "installed", lambda: None)
    assert command.main([]) == ABSENT
    assert capsys.readouterr().out == (
        "AWS's Terraform provider is not installed; HAL9_AWS_PLUGIN names its executable\n"
    )


def test_a_plugin_that_is_named_and_not_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("HAL9_AWS_PLUGIN", str(tmp_path / "absent"))
    assert command.main(["--stack", "dev"]) == 1
    assert capsys.readouterr().err == f"HAL9_AWS_PLUGIN names {tmp_path / 'absent'}, which is no file\n"


def test_an_unknown_stack_is_one_line(
    plugin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HAL9_AWS_PLUGIN", str(plugin))
    assert command.main(["--stack", "nonesuch"]) == 1
    assert "nonesuch" in capsys.readouterr().err.splitlines()[0]
