"""One region's network: tiers, ways out, endpoints, flow logs (controls 21 and 26)."""

from __future__ import annotations

import functools
from ipaddress import IPv4Network
from itertools import combinations
from typing import Any

import pulumi
import pytest

from components.keys import RegionKeys
from components.network import ANYWHERE, RegionNetwork
from components.region import aws_provider
from tests.components.mocked import Built, build, document
from tests.stackfiles import put, topology

ZONES = ("us-west-2a", "us-west-2b", "us-west-2c")


@functools.cache
def network(stack: str = "prod", preview: bool = False, zones: int = 3) -> Built:
    def make() -> dict[str, Any]:
        parsed = topology(stack, put("regions.us-west.zones", list(ZONES[:zones])))
        region = parsed.regions["us-west"]
        opts = pulumi.ResourceOptions(providers=[aws_provider("us-west", region.aws_region, parsed)])
        keys = RegionKeys(region.name, region.aws_region, parsed, opts=opts)
        made = RegionNetwork(region, parsed, keys, opts)
        return {"vpc_id": made.vpc_id, "subnet_ids": made.subnet_ids}

    return build(make, stack=stack, preview=preview)


def routes(built: Built, table: str) -> list[Any]:
    return [r for r in built.of("Route") if r.inputs["routeTableId"] == f"{table}-id"]


def test_a_vpc_has_the_stack_files_block_and_names() -> None:
    inputs = network().one("Vpc").inputs
    assert (inputs["cidrBlock"], inputs["enableDnsSupport"], inputs["enableDnsHostnames"]) == (
        "10.0.0.0/16",
        True,
        True,
    )


def test_three_tiers_have_a_subnet_in_each_zone() -> None:
    assert {(s.inputs["tags"]["tier"], s.inputs["availabilityZone"]) for s in network().of("Subnet")} == {
        (tier, zone) for tier in ("public", "private", "data") for zone in ZONES
    }


def test_subnets_are_disjoint_and_inside_the_vpc() -> None:
    blocks = [IPv4Network(subnet.inputs["cidrBlock"]) for subnet in network().of("Subnet")]
    assert not [pair for pair in combinations(blocks, 2) if pair[0].overlaps(pair[1])]
    assert all(block.subnet_of(IPv4Network("10.0.0.0/16")) for block in blocks)


def test_no_subnet_gives_public_addresses_by_itself() -> None:
    assert not any(subnet.inputs["mapPublicIpOnLaunch"] for subnet in network().of("Subnet"))


def test_a_zone_more_changes_nothing_that_exists() -> None:
    two, three = network(zones=2), network(zones=3)
    before = {
        r.urn: r.inputs for r in two.resources if r.kind in ("Subnet", "Route", "RouteTable", "NatGateway", "Eip")
    }
    assert before == {r.urn: r.inputs for r in three.resources if r.urn in before}


def test_the_order_of_the_zones_changes_nothing() -> None:
    """A subnet goes by its zone's letter: by place, two zones exchanged were two subnets replaced, and all in them."""

    def made(zones: list[str]) -> dict[str, Any]:
        parsed = topology("prod", put("regions.us-west.zones", zones))

        def make() -> Any:
            region = parsed.regions["us-west"]
            opts = pulumi.ResourceOptions(providers=[aws_provider("us-west", "us-west-2", parsed)])
            return RegionNetwork(region, parsed, RegionKeys("us-west", "us-west-2", parsed, opts=opts), opts).vpc_id

        return {r.urn: r.inputs for r in build(make).resources}

    assert made(list(ZONES)) == made(list(reversed(ZONES)))


def test_production_has_a_nat_gateway_in_each_zone_and_each_zone_its_own() -> None:
    built = network()
    assert {gateway.name for gateway in built.of("NatGateway")} == {f"us-west-{zone}" for zone in ZONES}
    for zone in ZONES:
        (out,) = routes(built, f"us-west-private-{zone}")
        assert out.inputs["natGatewayId"] == f"us-west-{zone}-id"


def test_dev_shares_one_nat_gateway() -> None:
    built = network("dev")
    assert [gateway.name for gateway in built.of("NatGateway")] == ["us-west-us-west-2a"]
    assert {r.inputs.get("natGatewayId") for r in built.of("Route") if "private" in r.name} == {"us-west-us-west-2a-id"}


def test_the_data_tier_has_no_way_out() -> None:
    assert routes(network(), "us-west-data") == []


def test_only_the_public_tier_leads_to_the_internet_gateway() -> None:
    built = network()
    to_internet = [r for r in built.of("Route") if "gatewayId" in r.inputs]
    assert [(r.inputs["routeTableId"], r.inputs["destinationCidrBlock"]) for r in to_internet] == [
        ("us-west-public-id", ANYWHERE)
    ]


def test_every_subnet_has_the_route_table_of_its_tier() -> None:
    tables = {a.inputs["subnetId"]: a.inputs["routeTableId"] for a in network().of("RouteTableAssociation")}
    assert tables == {
        **{f"us-west-public-{zone}-id": "us-west-public-id" for zone in ZONES},
        **{f"us-west-private-{zone}-id": f"us-west-private-{zone}-id" for zone in ZONES},
        **{f"us-west-data-{zone}-id": "us-west-data-id" for zone in ZONES},
    }


def test_a_nat_gateway_waits_for_the_internet_gateway() -> None:
    built = network()
    internet = built.one("InternetGateway").urn
    assert all(internet in gateway.dependencies for gateway in built.of("NatGateway"))


def test_s3_is_reached_without_the_internet_from_private_and_data_subnets() -> None:
    endpoint = network().one("VpcEndpoint", "us-west-s3").inputs
    assert endpoint["vpcEndpointType"] == "Gateway"
    assert set(endpoint["routeTableIds"]) == {*(f"us-west-private-{zone}-id" for zone in ZONES), "us-west-data-id"}


def test_interface_endpoints_answer_this_vpc_alone() -> None:
    built = network()
    rule = built.one("SecurityGroupIngressRule", "us-west-endpoints-https").inputs
    assert (rule["cidrIpv4"], rule["fromPort"], rule["toPort"]) == ("10.0.0.0/16", 443, 443)
    interfaces = [e for e in built.of("VpcEndpoint") if e.inputs["vpcEndpointType"] == "Interface"]
    assert {tuple(e.inputs["securityGroupIds"]) for e in interfaces} == {("us-west-endpoints-id",)}
    assert {e.inputs["serviceName"].rpartition("us-west-2.")[2] for e in interfaces} >= {
        "ecr.api",
        "ecr.dkr",
        "sts",
        "secretsmanager",
    }


def test_a_stack_without_interface_endpoints_has_no_group_for_them() -> None:
    assert [e.name for e in network("dev").of("VpcEndpoint")] == ["us-west-s3"]
    assert network("dev").of("SecurityGroup") == []


def test_the_default_security_group_lets_nothing_through() -> None:
    inputs = network().one("DefaultSecurityGroup").inputs
    assert (inputs["ingress"], inputs["egress"]) == ([], [])


def test_every_flow_is_logged_under_the_regions_own_key() -> None:
    built = network()
    flow, group = built.one("FlowLog").inputs, built.one("LogGroup").inputs
    assert (flow["trafficType"], flow["logDestination"]) == ("ALL", "arn:LogGroup:us-west-flows")
    assert group["kmsKeyId"] == "arn:Key:us-west-telemetry"
    assert group["retentionInDays"] == 90


def test_the_flow_logs_role_writes_to_its_own_group_alone() -> None:
    (statement,) = document(network().one("RolePolicy").inputs["policy"])["Statement"]
    assert statement["Resource"] == ["arn:LogGroup:us-west-flows", "arn:LogGroup:us-west-flows:log-stream:*"]


@pytest.mark.parametrize(("stack", "protected"), [("prod", True), ("dev", False)])
def test_the_vpc_is_protected_in_production_alone(stack: str, protected: bool) -> None:
    assert network(stack).one("Vpc").protect is protected


def test_it_exports_the_vpc_and_its_subnets_in_zone_order() -> None:
    exported = network().one("RegionNetwork").outputs
    assert exported["vpc_id"] == "us-west-id"
    assert exported["subnet_ids"]["data"] == [f"us-west-data-{zone}-id" for zone in ZONES]
    assert network().value["subnet_ids"]["private"] == [f"us-west-private-{zone}-id" for zone in ZONES]
