"""A region's load balancers: CloudFront's addresses alone,
TLS 1.3, drain below the grace period (controls 11, 19, 21).
"""

from __future__ import annotations

import functools
from typing import Any

import pulumi
import pytest

from components.cluster import RegionCluster
from components.load_balancers import DEREGISTRATION_SECONDS, EAST_WEST, GATEWAY, GATEWAY_PEERS, RegionLoadBalancers
from tests.components.mocked import Built, Cell, Registered, build, domain
from tests.stackfiles import topology
from topology import catalog


@functools.cache
def balancers(stack: str = "prod", preview: bool = False) -> Built:
    def make() -> Any:
        parsed = topology(stack)
        region = parsed.regions["us-west"]
        cell = Cell(region, parsed)
        opts = pulumi.ResourceOptions(providers=[cell.provider])
        cluster = RegionCluster(region, parsed, cell.network, cell.keys, opts)
        made = RegionLoadBalancers(region, parsed, cell.network, cluster, domain(parsed), cell.alarms, opts)
        return {"public": made.public_dns, "internal": made.internal_dns}

    return build(make, stack=stack, preview=preview)


def ingress(group: str) -> list[Registered]:
    return [r for r in balancers().of("SecurityGroupIngressRule") if r.inputs["securityGroupId"] == f"{group}-id"]


def test_the_public_balancer_takes_cloudfronts_addresses_alone() -> None:
    (rule,) = ingress("us-west-public")
    assert rule.inputs["prefixListId"] == catalog.CLOUDFRONT_PREFIX_LISTS["us-west-2"]
    assert (rule.inputs["fromPort"], rule.inputs["toPort"]) == (443, 443)
    assert "cidrIpv4" not in rule.inputs


def test_the_internal_balancer_takes_the_regions_private_subnets_alone() -> None:
    rules = ingress("us-west-internal")
    private = set(map(str, topology("prod").private_blocks.values()))
    assert {(r.inputs["cidrIpv4"], r.inputs["fromPort"]) for r in rules} == {
        (block, port.listener) for block in private for port in (GATEWAY_PEERS, EAST_WEST)
    }


@pytest.mark.parametrize(("role", "internal", "tier"), [("public", False, "public"), ("internal", True, "private")])
def test_each_balancer_stands_in_its_tier(role: str, internal: bool, tier: str) -> None:
    balancer = balancers().one("LoadBalancer", f"us-west-{role}").inputs
    assert (balancer["loadBalancerType"], balancer["internal"]) == ("network", internal)
    assert balancer["subnets"] == [f"us-west-{tier}-us-west-2{zone}-id" for zone in "abc"]
    assert balancer["securityGroups"] == [f"us-west-{role}-id"]


def test_the_public_listener_speaks_tls_1_3_and_nothing_older() -> None:
    listener = balancers().one("Listener", "us-west-public").inputs
    assert (listener["protocol"], listener["port"]) == ("TLS", 443)
    assert listener["sslPolicy"].startswith("ELBSecurityPolicy-TLS13-1-3")


def test_the_public_listener_waits_for_a_valid_certificate() -> None:
    assert balancers().one("Listener", "us-west-public").inputs["certificateArn"] == "arn:aws:acm:valid"


def test_traffic_between_regions_passes_tls_through() -> None:
    listeners = {r.name: r.inputs["protocol"] for r in balancers().of("Listener")}
    assert (listeners["us-west-peers"], listeners["us-west-east-west"]) == ("TCP", "TCP")


def test_each_listener_leads_to_the_pods_that_answer_its_port() -> None:
    groups = {g.name: g.inputs for g in balancers().of("TargetGroup")}
    for role, port in (("gateway", GATEWAY), ("peers", GATEWAY_PEERS), ("east-west", EAST_WEST)):
        group = groups[f"us-west-{role}"]
        assert (group["targetType"], group["port"], group["healthCheck"]["port"]) == (
            "ip",
            port.target,
            str(port.health),
        )


def test_a_balancer_reaches_the_pods_and_the_pods_take_it() -> None:
    out = {
        (r.inputs["securityGroupId"], r.inputs["fromPort"])
        for r in balancers().of("SecurityGroupEgressRule", below="us-west-load-balancers")
    }
    into = {
        (r.inputs["referencedSecurityGroupId"], r.inputs["fromPort"])
        for r in balancers().of("SecurityGroupIngressRule")
        if r.inputs["securityGroupId"] == "us-west-nodes-id"
        and r.name != "us-west-nodes-each-other"
        and "referencedSecurityGroupId" in r.inputs  # operators come by their addresses
    }
    assert out == into
    assert {port for _, port in out} == {
        n for port in (GATEWAY, GATEWAY_PEERS, EAST_WEST) for n in (port.target, port.health)
    }


def test_a_pod_that_leaves_drains_for_a_while() -> None:
    assert {g.inputs["deregistrationDelay"] for g in balancers().of("TargetGroup")} == {DEREGISTRATION_SECONDS}


def test_an_alarm_tells_when_no_nginx_is_healthy_and_when_nothing_is_heard() -> None:
    alarm = balancers().one("MetricAlarm", "us-west-gateway-healthy").inputs
    assert (alarm["metricName"], alarm["threshold"], alarm["comparisonOperator"]) == (
        "HealthyHostCount",
        1,
        "LessThanThreshold",
    )
    assert (alarm["treatMissingData"], alarm["evaluationPeriods"]) == ("breaching", 1)
    assert alarm["dimensions"] == {"LoadBalancer": "net/nlb", "TargetGroup": "targetgroup/pods"}


@pytest.mark.parametrize(("stack", "kept"), [("prod", True), ("dev", False)])
def test_production_cannot_lose_a_balancer_by_mistake(stack: str, kept: bool) -> None:
    assert {(b.protect, b.inputs["enableDeletionProtection"]) for b in balancers(stack).of("LoadBalancer")} == {
        (kept, kept)
    }


def test_names_are_as_short_as_aws_wants_them() -> None:
    assert all(len(r.inputs["name"]) <= 32 for r in balancers().of("LoadBalancer") + balancers().of("TargetGroup"))


def test_it_exports_both_names() -> None:
    assert balancers().value == {"public": "nlb.amazonaws.com", "internal": "nlb.amazonaws.com"}
