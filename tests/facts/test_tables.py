"""The facts: each with its source, and what they say of production."""

from __future__ import annotations

from datetime import date

import pytest

from facts import account, databases, instances, kubernetes, metrics
from facts.table import names, table
from tests.stackfiles import topology
from topology import catalog


@pytest.mark.parametrize("name", names())
def test_every_table_has_a_source_and_a_day(name: str) -> None:
    read = table(name)
    assert read.source
    assert read.what
    assert date.fromisoformat(read.date) >= date(2026, 11, 1)
    assert read.content


def test_m5n_is_sold_in_oregon_and_frankfurt_and_in_no_zone_of_mumbai() -> None:
    assert instances.zones_selling("us-west-2", "m5n.2xlarge") >= {"us-west-2a", "us-west-2b", "us-west-2c"}  # type: ignore[operator]
    assert instances.zones_selling("eu-central-1", "m5n.2xlarge")
    assert instances.zones_selling("ap-south-1", "m5n.2xlarge") == frozenset()


def test_a_region_in_no_source_is_unknown_and_not_empty() -> None:
    assert instances.zones_selling("eu-west-9", "m6i.large") is None
    assert databases.backup_regions("eu-west-9") is None
    assert metrics.dimension_sets("AWS/RDS", "NoSuchMetric") is None
    assert kubernetes.supported_until("1.99") is None
    assert kubernetes.add_on_versions("1.99", "coredns") is None


def test_another_type_of_the_same_size_is_near() -> None:
    near = instances.nearest("m5n.2xlarge", "ap-south-1", ["ap-south-1a", "ap-south-1b", "ap-south-1c"])
    assert near is not None
    assert instances.size(near) == instances.size("m5n.2xlarge")
    assert instances.zones_selling("ap-south-1", near) == frozenset({"ap-south-1a", "ap-south-1b", "ap-south-1c"})


def test_the_catalogue_and_awss_own_sizes_agree() -> None:
    for name in table("sizes").content:
        mine, theirs = catalog.instance_size(name), instances.size(name)
        if mine is not None and theirs is not None:
            assert (mine.vcpus, mine.memory_gib, mine.architecture) == (
                theirs.vcpus,
                theirs.memory_gib,
                theirs.architecture,
            ), name


def test_redis_memory_is_measured_by_node_and_not_by_group() -> None:
    sets = metrics.dimension_sets("AWS/ElastiCache", "DatabaseMemoryUsagePercentage")
    assert sets is not None
    assert frozenset({"CacheClusterId"}) in sets
    assert frozenset({"ReplicationGroupId"}) not in sets


def test_days_that_cloudwatch_does_not_take_have_a_nearest_that_it_takes() -> None:
    assert metrics.nearest_retention(45) == 60
    assert metrics.nearest_retention(90) == 90
    assert metrics.nearest_retention(10_000) == 3653


def test_a_version_past_its_support_is_not_among_the_supported() -> None:
    assert "1.33" not in kubernetes.supported(date(2026, 11, 28))
    assert kubernetes.supported(date(2026, 11, 28))[0] == "1.34"


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_backups_of_every_region_can_go_where_the_stack_file_sends_them(stack: str) -> None:
    parsed = topology(stack)
    for region in parsed.ordered_regions:
        elsewhere = parsed.backup_region(region.name)
        if elsewhere:
            allowed = databases.backup_regions(region.aws_region)
            assert allowed is not None
            assert parsed.regions[elsewhere].aws_region in allowed


def test_the_autoscaling_role_is_one_that_a_fresh_account_lacks() -> None:
    assert account.service_linked_roles()["autoscaling.amazonaws.com"] == "AWSServiceRoleForAutoScaling"


def test_a_fresh_account_runs_five_vcpus() -> None:
    assert account.quota("vcpus-on-demand").default == 5
