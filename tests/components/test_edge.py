"""The edge: CloudFront, its web ACL and log, the names that lead to the nearest living region (control 19)."""

from __future__ import annotations

import functools
from typing import Any

import pulumi
import pytest

from components.cluster import RegionCluster
from components.edge import ORIGIN_HEADER, Edge
from components.load_balancers import RegionLoadBalancers
from components.region import aws_provider
from tests.components.mocked import Built, Cell, build, cells, domain, vaults
from tests.stackfiles import Edit, put, topology

AWS = {"us-west": "us-west-2", "eu-central": "eu-central-1", "ap-south": "ap-south-1"}


def built(stack: str, *edits: Edit, preview: bool = False) -> Built:
    def make() -> Any:
        parsed = topology(stack, *edits)
        name = domain(parsed)
        ground = cells(parsed)
        for region, cell in ground.items():
            cell.load_balancers = _balancers(cell, name, parsed, region)  # type: ignore[attr-defined]
        opts = pulumi.ResourceOptions(providers=[aws_provider("edge", "us-east-1", parsed)])
        made = Edge(parsed, name, ground, vaults(ground), opts)  # type: ignore[arg-type]
        return {"domain": made.domain_name, "url": made.url, "servers": name.name_servers}

    return build(make, stack=stack, preview=preview)


def _balancers(cell: Cell, name: Any, parsed: Any, region: str) -> RegionLoadBalancers:
    opts = pulumi.ResourceOptions(providers=[cell.provider])
    cluster = RegionCluster(parsed.regions[region], parsed, cell.network, cell.keys, opts)
    return RegionLoadBalancers(parsed.regions[region], parsed, cell.network, cluster, name, cell.alarms, opts)


@functools.cache
def edge(stack: str = "prod", preview: bool = False) -> Built:
    return built(stack, preview=preview)


@functools.cache
def given_zone() -> Built:
    return built(
        "dev",
        put("edge.hostedZoneId", "Z123"),
        put("edge.blockedCountries", []),
        put("edge.shieldAdvanced", True),
        put("edge.addressLimitPerFiveMinutes", 1000),
    )


def test_viewers_speak_tls_1_3() -> None:
    certificate = edge().one("Distribution").inputs["viewerCertificate"]
    assert certificate["minimumProtocolVersion"].startswith("TLSv1.3")
    assert certificate["acmCertificateArn"] == "arn:aws:acm:valid"


def test_everything_is_https() -> None:
    distribution = edge().one("Distribution").inputs
    behaviours = [distribution["defaultCacheBehavior"], *distribution["orderedCacheBehaviors"]]
    assert {b["viewerProtocolPolicy"] for b in behaviours} == {"https-only"}
    assert {o["customOriginConfig"]["originProtocolPolicy"] for o in distribution["origins"]} == {"https-only"}


def test_the_origin_is_shown_a_secret_that_every_region_knows() -> None:
    (origin,) = edge().one("Distribution").inputs["origins"]
    (header,) = origin["customHeaders"]
    assert (header["name"], str(header["value"])) == (ORIGIN_HEADER, "[secret]")
    assert {s.region for s in edge().of("Secret", below="origin-verify")} == set(AWS.values())


def test_what_carries_a_token_is_cached_for_that_token_alone() -> None:
    policy = edge().one("CachePolicy", "private").inputs
    key = policy["parametersInCacheKeyAndForwardedToOrigin"]
    assert "Authorization" in key["headersConfig"]["headers"]["items"]
    assert key["cookiesConfig"]["cookieBehavior"] == "all"
    assert edge().one("Distribution").inputs["defaultCacheBehavior"]["cachePolicyId"] == "private-id"


def test_nothing_is_cached_that_the_origin_does_not_say() -> None:
    assert {(p.inputs["minTtl"], p.inputs["defaultTtl"]) for p in edge().of("CachePolicy")} == {(0, 0)}


def test_the_viewers_country_is_forwarded() -> None:
    headers = edge().one("OriginRequestPolicy").inputs["headersConfig"]
    assert headers["headers"]["items"] == ["CloudFront-Viewer-Country"]


def test_the_distribution_has_the_web_acl_and_both_live_in_us_east_1() -> None:
    acl, distribution = edge().one("WebAcl"), edge().one("Distribution")
    assert distribution.inputs["webAclId"] == "arn:WebAcl:edge"
    assert (acl.region, acl.inputs["scope"]) == ("us-east-1", "CLOUDFRONT")
    assert edge().one("Certificate", "edge").region == "us-east-1"


def test_every_request_is_logged_under_a_key_of_us_east_1() -> None:
    group = edge().one("LogGroup", "edge-requests")
    assert (group.region, group.inputs["kmsKeyId"]) == ("us-east-1", "arn:Key:global-telemetry")
    assert edge().one("LogDelivery").inputs["deliverySourceName"] == edge().one("LogDeliverySource").inputs["name"]


def test_each_region_is_the_origin_of_those_who_are_near_while_it_is_healthy() -> None:
    for region, aws_region in AWS.items():
        record = edge().one("Record", f"origin-{region}").inputs
        assert record["name"] == "origin.hal9.ai"
        assert record["latencyRoutingPolicies"] == [{"region": aws_region}]
        assert record["healthCheckId"] == f"{region}-gateway-id"
        assert record["aliases"][0]["evaluateTargetHealth"] is True


def test_a_regions_health_follows_its_alarm_and_silence_is_ill() -> None:
    for region, aws_region in AWS.items():
        check = edge().one("HealthCheck", f"{region}-gateway").inputs
        assert (check["type"], check["cloudwatchAlarmRegion"]) == ("CLOUDWATCH_METRIC", aws_region)
        assert check["cloudwatchAlarmName"] == f"hal9-prod-{region}-gateway-healthy"
        assert check["insufficientDataHealthStatus"] == "Unhealthy"


def test_the_domain_leads_to_the_distribution_by_both_protocols() -> None:
    for record_type in ("A", "AAAA"):
        record = edge().one("Record", f"domain-{record_type}").inputs
        assert (record["name"], record["aliases"][0]["name"]) == ("hal9.ai", "d1.cloudfront.net")


def test_shield_advanced_is_behind_a_flag() -> None:
    assert edge().of("Protection") == []
    assert given_zone().one("Protection").inputs["resourceArn"] == "arn:Distribution:edge"


@pytest.mark.parametrize(("stack", "kept"), [("prod", True), ("dev", False)])
def test_production_keeps_its_distribution_and_zone(stack: str, kept: bool) -> None:
    assert {r.protect for r in edge(stack).of("Distribution") + edge(stack).of("Zone")} == {kept}


def test_it_exports_where_users_go() -> None:
    assert (edge().value["domain"], edge().value["url"]) == ("d1.cloudfront.net", "https://hal9.ai")
