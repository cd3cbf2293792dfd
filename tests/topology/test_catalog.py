"""The catalogue of AWS facts that stack files are judged by."""

from __future__ import annotations

import pytest

from topology import catalog
from topology.catalog import InstanceSize


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("m6i.large", InstanceSize(2, 8, "amd64", burstable=False)),
        ("m6i.xlarge", InstanceSize(4, 16, "amd64", burstable=False)),
        ("m6i.2xlarge", InstanceSize(8, 32, "amd64", burstable=False)),
        ("c7g.16xlarge", InstanceSize(64, 128, "arm64", burstable=False)),
        ("c5n.2xlarge", InstanceSize(8, 21, "amd64", burstable=False)),
        ("r6g.4xlarge", InstanceSize(16, 128, "arm64", burstable=False)),
        ("t3.micro", InstanceSize(2, 1, "amd64", burstable=True)),
        ("t4g.2xlarge", InstanceSize(8, 32, "arm64", burstable=True)),
    ],
)
def test_an_instance_type_has_its_published_size(name: str, size: InstanceSize) -> None:
    assert catalog.instance_size(name) == size


@pytest.mark.parametrize(
    "name",
    [
        "",
        "m6i",
        "m6i.",
        "m6i.huge",
        "m6i.0xlarge",
        "m6i.02xlarge",
        "m6i.999xlarge",
        "c7g.24xlarge",
        "t3.4xlarge",
        "m1.large",
        "db.m6i.large",
        "cache.m6g.large",
        "m6i.large ",
    ],
)
def test_what_is_no_ec2_type_has_no_size(name: str) -> None:
    assert catalog.instance_size(name) is None


@pytest.mark.parametrize("name", ["m6g.large", "cache.m6g.large", "db.c7i.large", "db.m6g.tiny", "db.db.m6g.large"])
def test_what_is_no_database_class_has_no_size(name: str) -> None:
    assert catalog.database_size(name) is None


@pytest.mark.parametrize("name", ["m6g.large", "db.m6g.large", "cache.r6i.large", "cache.m6g.tiny"])
def test_what_is_no_cache_node_has_no_size(name: str) -> None:
    assert catalog.cache_size(name) is None


def test_a_database_class_and_a_cache_node_have_the_size_of_their_instance_type() -> None:
    assert (
        catalog.database_size("db.r6g.large")
        == catalog.cache_size("cache.r6g.large")
        == catalog.instance_size("r6g.large")
    )


@pytest.mark.parametrize(
    ("instance_class", "connections"),
    [
        ("db.t4g.medium", 405),
        ("db.r6g.large", 1622),
        ("db.r6g.xlarge", 3244),
        ("db.r6g.2xlarge", 5000),
        ("r6g.large", None),
    ],
)
def test_max_connections_follow_the_memory_up_to_the_cap(instance_class: str, connections: int | None) -> None:
    """LEAST(DBInstanceClassMemory / 9531392, 5000), with 90% of the nominal memory."""
    assert catalog.default_max_connections(instance_class) == connections


@pytest.mark.parametrize("node_type", ["cache.m5.large", "cache.r5.large", "cache.r6g.large", "cache.r7g.xlarge"])
def test_a_global_datastore_takes_m5_r5_and_newer(node_type: str) -> None:
    assert catalog.global_datastore_takes(node_type)


@pytest.mark.parametrize(
    "node_type", ["cache.t3.small", "cache.t4g.medium", "cache.c7gn.large", "r6g.large", "cache.x"]
)
def test_a_global_datastore_refuses_burstable_and_other_nodes(node_type: str) -> None:
    assert not catalog.global_datastore_takes(node_type)


def test_a_node_holds_as_many_pods_as_the_scarcer_of_cpu_and_memory_allows() -> None:
    size = InstanceSize(8, 32, "amd64", burstable=False)
    assert catalog.pods_on_node(size, cpu=1, memory_gib=0.1) == int(8 - catalog.NODE_RESERVED_CPU)
    assert catalog.pods_on_node(size, cpu=0.1, memory_gib=4) == int((32 - catalog.NODE_RESERVED_MEMORY_GIB) / 4)


def test_pods_that_fit_exactly_are_counted() -> None:
    assert catalog.pods_on_node(InstanceSize(2, 32, "amd64", burstable=False), cpu=0.1, memory_gib=0.1) == 12


def test_a_node_smaller_than_its_reserve_holds_no_pod() -> None:
    assert catalog.pods_on_node(InstanceSize(2, 1, "amd64", burstable=True), cpu=0.1, memory_gib=0.1) == 0


def test_every_region_with_a_cloudfront_prefix_list_is_an_aws_region() -> None:
    assert set(catalog.CLOUDFRONT_PREFIX_LISTS) <= set(catalog.AWS_REGIONS)


def test_prefix_lists_differ_from_region_to_region() -> None:
    assert len(set(catalog.CLOUDFRONT_PREFIX_LISTS.values())) == len(catalog.CLOUDFRONT_PREFIX_LISTS)


def test_cloudfront_certificates_live_in_a_known_region() -> None:
    assert catalog.GLOBAL_AWS_REGION in catalog.AWS_REGIONS


def test_a_minor_version_that_no_source_has_is_told_to_be_unknown_and_not_to_be_none() -> None:
    for text in ("16", "16.4", "15.2"):
        assert catalog.postgres_version(text) == text
    with pytest.raises(ValueError, match=r"'16.99' is not known: .* 16 alone takes RDS's newest"):
        catalog.postgres_version("16.99")
    with pytest.raises(ValueError, match=r"'16.0' is no Postgres version of RDS, whose first is 16.1"):
        catalog.postgres_version("16.0")
