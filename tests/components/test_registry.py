"""Image registries, one push for all."""

from __future__ import annotations

import functools
from typing import Any

import pulumi
import pytest

from components.keys import RegionKeys
from components.region import aws_provider
from components.registry import RegionRegistry
from tests.components.mocked import Built, build, document
from tests.stackfiles import topology

REGIONS = {"us-west": "us-west-2", "eu-central": "eu-central-1", "ap-south": "ap-south-1"}


@functools.cache
def registries(stack: str = "prod", preview: bool = False) -> Built:
    def make() -> Any:
        parsed = topology(stack)
        urls = {}
        for region in parsed.ordered_regions:
            opts = pulumi.ResourceOptions(providers=[aws_provider(region.name, region.aws_region, parsed)])
            keys = RegionKeys(region.name, region.aws_region, parsed, ["cluster"], opts)
            urls[region.name] = RegionRegistry(region, parsed, keys, opts).url
        return urls

    return build(make, stack=stack, preview=preview)


def test_each_region_has_the_images_repository() -> None:
    assert {(r.region, r.inputs["name"]) for r in registries().of("Repository")} == {
        (aws, "hal9-server") for aws in REGIONS.values()
    }


def test_tags_cannot_be_moved_and_images_are_scanned_and_encrypted() -> None:
    for repository in registries().of("Repository"):
        assert repository.inputs["imageTagMutability"] == "IMMUTABLE"
        assert repository.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
        (encryption,) = repository.inputs["encryptionConfigurations"]
        assert encryption == {"encryptionType": "KMS", "kmsKey": f"arn:Key:{repository.name}-cluster"}


def test_one_push_to_the_last_region_reaches_all_others() -> None:
    """An image that came by replication is not replicated on, so the last region must name every other."""
    last = registries().one("ReplicationConfiguration", "ap-south").inputs["replicationConfiguration"]["rules"][0]
    assert [d["region"] for d in last["destinations"]] == ["us-west-2", "eu-central-1"]
    assert {d["registryId"] for d in last["destinations"]} == {"123456789012"}


def test_a_region_replicates_to_those_before_it_alone_so_that_one_behind_changes_none() -> None:
    found = {r.name: r for r in registries().of("ReplicationConfiguration")}
    assert set(found) == {"eu-central", "ap-south"}
    rule = found["eu-central"].inputs["replicationConfiguration"]["rules"][0]
    assert [d["region"] for d in rule["destinations"]] == ["us-west-2"]


def test_old_images_expire() -> None:
    rules = document(registries().of("LifecyclePolicy")[0].inputs["policy"])["rules"]
    assert [(r["action"]["type"], r["selection"]["countType"]) for r in rules] == [("expire", "imageCountMoreThan")]


@pytest.mark.parametrize(("stack", "kept"), [("prod", True), ("dev", False)])
def test_production_keeps_its_images(stack: str, kept: bool) -> None:
    assert {(r.protect, r.inputs["forceDelete"]) for r in registries(stack).of("Repository")} == {(kept, not kept)}


def test_it_exports_where_to_push() -> None:
    assert set(registries().value) == set(REGIONS)
