"""One region's cell: all of it by one provider, below one name."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from components.region import RegionCell
from tests.components import mocked
from tests.components.mocked import Built, build
from tests.stackfiles import topology


@functools.cache
def cell(stack: str = "prod", preview: bool = False) -> Built:
    def make() -> Any:
        parsed = topology(stack)
        return RegionCell(parsed.regions["us-west"], parsed, mocked.domain(parsed)).network.vpc_id

    return build(make, stack=stack, preview=preview)


def test_it_has_every_part_of_a_region() -> None:
    parts = {r.kind for r in cell().below("us-west") if not r.custom}
    assert parts >= {
        "RegionKeys",
        "RegionAlarms",
        "RegionNetwork",
        "RegionRegistry",
        "RegionCluster",
        "PodRoles",
        "RegionLoadBalancers",
        "RegionDatabase",
        "RegionRedis",
    }


@pytest.mark.parametrize("preview", [False, True])
def test_all_of_it_is_made_by_the_regions_own_provider(preview: bool) -> None:
    inside = [r for r in cell(preview=preview).below("us-west") if r.custom]
    assert len(inside) > 100
    assert {(r.provider.rpartition("::")[2], r.region) for r in inside} == {("us-west", "us-west-2")}


def test_the_provider_refuses_any_account_but_the_stack_files() -> None:
    provider = next(r for r in cell().resources if r.type == "pulumi:providers:aws" and r.name == "us-west")
    assert json.loads(provider.inputs["allowedAccountIds"]) == ["123456789012"]


def test_no_provider_asks_its_own_region_whose_account_it_is() -> None:
    """B12: with a region gone its provider could not be configured, and `up` stopped for the others too."""
    provider = next(r for r in cell().resources if r.type == "pulumi:providers:aws" and r.name == "us-west")
    assert provider.inputs["stsRegion"] == "us-east-1"


def test_the_provider_tags_what_nobody_tagged() -> None:
    provider = next(r for r in cell().resources if r.type == "pulumi:providers:aws" and r.name == "us-west")
    tags = json.loads(provider.inputs["defaultTags"])["tags"]
    assert (tags["project"], tags["stack"], tags["region"]) == ("hal9", "prod", "us-west")


def test_it_takes_no_address_of_the_world_but_by_cloudfront() -> None:
    """No port, not even 22, is open to everyone; what is public is CloudFront's prefix list alone."""
    rules = cell().of("SecurityGroupIngressRule")
    assert not [r.name for r in rules if r.inputs.get("cidrIpv4") == "0.0.0.0/0" or r.inputs.get("cidrIpv6") == "::/0"]
    assert len([r for r in rules if "prefixListId" in r.inputs]) == 1
