"""The edge: CloudFront before all regions, and the names by which users and CloudFront find them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pulumi
import pulumi_aws as aws

from components.domain import Domain
from components.edge_watch import EdgeWatch
from components.firewall import Firewall
from components.keys import RegionKeys
from components.load_balancers import RegionLoadBalancers
from components.secrets import ReplicatedSecret, Vault, password
from topology import catalog
from topology.naming import GLOBAL
from topology.settings import Region
from topology.topology import Topology

ORIGIN_HEADER = "X-Origin-Verify"
"""Carries the secret by which nginx knows that a request came through this distribution, not through another's."""
VIEWER_TLS = "TLSv1.3_2025"
COUNTRY_HEADER = "CloudFront-Viewer-Country"
_PUBLIC_PATHS = ("/openapi.json",)
"""What every user gets alike: cached without cookies or tokens."""
_ORIGIN = "regions"


class Cell(Protocol):
    """What the edge needs of a region."""

    region: Region
    load_balancers: RegionLoadBalancers


class Edge(pulumi.ComponentResource):
    """CloudFront with its web ACL, log and domain, and the latency records that lead it to the nearest living region.

    CloudFront asks `origin.<domain>`; Route 53 answers with the load balancer nearest to that edge location among those
    whose nginx are healthy. The health check follows an alarm, so that no checker needs a way in past CloudFront.
    What is cached is the origin's to say: the default lifetime is 0.

    Outputs: domain_name (of the distribution), url.
    """

    def __init__(
        self,
        topology: Topology,
        domain: Domain,
        cells: Mapping[str, Cell],
        vaults: Mapping[str, Vault],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:edge:Edge", "edge", {}, opts)
        self._topology, self._names, self._child = topology, topology.names, pulumi.ResourceOptions(parent=self)
        self._tags = self._names.tags("edge", GLOBAL)
        proofs = [password(f"origin-verify-{generation}", self) for generation in topology.credentials.origin]
        ReplicatedSecret(
            "origin-verify",
            description="What CloudFront shows nginx, a line for each that is accepted",
            value=pulumi.Output.all(*proofs).apply("\n".join),
            vaults=vaults,
            topology=topology,
            opts=self._child,
        )
        log_key = RegionKeys(GLOBAL, catalog.GLOBAL_AWS_REGION, topology, ["telemetry"], self._child).arns["telemetry"]
        self._origin_records(domain, cells)
        firewall = Firewall(topology, log_key, self._child)
        distribution = self._distribution(domain, firewall, proofs[0])
        self._log(distribution, log_key)
        EdgeWatch(topology, distribution.id, log_key, self._child)
        for record_type in ("A", "AAAA"):
            aws.route53.Record(
                f"domain-{record_type}",
                zone_id=domain.zone_id,
                name=topology.domain,
                type=record_type,
                aliases=[
                    aws.route53.RecordAliasArgs(
                        name=distribution.domain_name, zone_id=distribution.hosted_zone_id, evaluate_target_health=False
                    )
                ],
                opts=self._child,
            )
        if topology.edge.shield_advanced:
            aws.shield.Protection(
                "edge", name=self._names.of("edge"), resource_arn=distribution.arn, tags=self._tags, opts=self._child
            )
        self.domain_name, self.url = distribution.domain_name, f"https://{topology.domain}"
        self.register_outputs({"domain_name": self.domain_name, "url": self.url})

    def _origin_records(self, domain: Domain, cells: Mapping[str, Cell]) -> None:
        for name, cell in cells.items():
            health = aws.route53.HealthCheck(
                f"{name}-gateway",
                type="CLOUDWATCH_METRIC",
                cloudwatch_alarm_name=cell.load_balancers.healthy_alarm.name,
                cloudwatch_alarm_region=cell.region.aws_region,
                insufficient_data_health_status="Unhealthy",
                tags=self._names.tags("edge", name, name=self._names.of(name, "gateway")),
                opts=self._child,
            )
            aws.route53.Record(
                f"origin-{name}",
                zone_id=domain.zone_id,
                name=self._topology.origin,
                type="A",
                set_identifier=name,
                latency_routing_policies=[aws.route53.RecordLatencyRoutingPolicyArgs(region=cell.region.aws_region)],
                health_check_id=health.id,
                aliases=[
                    aws.route53.RecordAliasArgs(
                        name=cell.load_balancers.public_dns,
                        zone_id=cell.load_balancers.public_zone_id,
                        evaluate_target_health=True,
                    )
                ],
                opts=self._child,
            )

    def _distribution(
        self, domain: Domain, firewall: Firewall, proof: pulumi.Output[str]
    ) -> aws.cloudfront.Distribution:
        forward = aws.cloudfront.OriginRequestPolicy(
            "edge",
            name=self._names.of("edge"),
            comment="All that the viewer sent, and the country it is in",
            headers_config=aws.cloudfront.OriginRequestPolicyHeadersConfigArgs(
                header_behavior="allViewerAndWhitelistCloudFront",
                headers=aws.cloudfront.OriginRequestPolicyHeadersConfigHeadersArgs(items=[COUNTRY_HEADER]),
            ),
            cookies_config=aws.cloudfront.OriginRequestPolicyCookiesConfigArgs(cookie_behavior="all"),
            query_strings_config=aws.cloudfront.OriginRequestPolicyQueryStringsConfigArgs(query_string_behavior="all"),
            opts=self._child,
        )
        security = self._security_headers()
        private = self._cache_policy("private", headers=["Authorization", "Host"], cookies="all")
        public = self._cache_policy("public", headers=["Host"], cookies="none")
        origin = aws.cloudfront.DistributionOriginArgs(
            origin_id=_ORIGIN,
            domain_name=self._topology.origin,
            custom_headers=[aws.cloudfront.DistributionOriginCustomHeaderArgs(name=ORIGIN_HEADER, value=proof)],
            connection_attempts=2,
            connection_timeout=5,
            custom_origin_config=aws.cloudfront.DistributionOriginCustomOriginConfigArgs(
                http_port=80,
                https_port=443,
                origin_protocol_policy="https-only",
                origin_ssl_protocols=["TLSv1.2"],  # the least that may be listed; the load balancer asks for 1.3
                origin_read_timeout=60,
                origin_keepalive_timeout=60,
            ),
        )
        all_methods = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
        return aws.cloudfront.Distribution(
            "edge",
            comment=self._names.of("edge"),
            enabled=True,
            is_ipv6_enabled=True,
            http_version="http2and3",
            price_class=self._topology.edge.price_class,
            aliases=[self._topology.domain],
            web_acl_id=firewall.arn,
            origins=[origin],
            default_cache_behavior=aws.cloudfront.DistributionDefaultCacheBehaviorArgs(
                target_origin_id=_ORIGIN,
                viewer_protocol_policy="https-only",
                allowed_methods=all_methods,
                cached_methods=["GET", "HEAD"],
                compress=True,
                cache_policy_id=private.id,
                origin_request_policy_id=forward.id,
                response_headers_policy_id=security.id,
            ),
            ordered_cache_behaviors=[
                aws.cloudfront.DistributionOrderedCacheBehaviorArgs(
                    path_pattern=path,
                    target_origin_id=_ORIGIN,
                    viewer_protocol_policy="https-only",
                    allowed_methods=["GET", "HEAD"],
                    cached_methods=["GET", "HEAD"],
                    compress=True,
                    cache_policy_id=public.id,
                    origin_request_policy_id=forward.id,
                    response_headers_policy_id=security.id,
                )
                for path in _PUBLIC_PATHS
            ],
            viewer_certificate=aws.cloudfront.DistributionViewerCertificateArgs(
                acm_certificate_arn=domain.certificate_arn,
                ssl_support_method="sni-only",
                minimum_protocol_version=VIEWER_TLS,
            ),
            restrictions=aws.cloudfront.DistributionRestrictionsArgs(
                geo_restriction=aws.cloudfront.DistributionRestrictionsGeoRestrictionArgs(restriction_type="none")
            ),
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, protect=self._topology.protect),
        )

    def _cache_policy(self, name: str, *, headers: list[str], cookies: str) -> aws.cloudfront.CachePolicy:
        """A cache whose origin says what may be kept and for how long; nothing said, nothing kept."""
        parameters = aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginArgs
        return aws.cloudfront.CachePolicy(
            name,
            name=self._names.of(name),
            comment=f"As the origin says; {name} responses",
            min_ttl=0,
            default_ttl=0,
            max_ttl=86400,
            parameters_in_cache_key_and_forwarded_to_origin=parameters(
                enable_accept_encoding_gzip=True,
                enable_accept_encoding_brotli=True,
                headers_config=aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginHeadersConfigArgs(
                    header_behavior="whitelist",
                    headers=aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginHeadersConfigHeadersArgs(
                        items=headers
                    ),
                ),
                cookies_config=aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginCookiesConfigArgs(
                    cookie_behavior=cookies
                ),
                query_strings_config=aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginQueryStringsConfigArgs(
                    query_string_behavior="all"
                ),
            ),
            opts=self._child,
        )

    def _security_headers(self) -> aws.cloudfront.ResponseHeadersPolicy:
        security = aws.cloudfront.ResponseHeadersPolicySecurityHeadersConfigArgs(
            strict_transport_security=aws.cloudfront.ResponseHeadersPolicySecurityHeadersConfigStrictTransportSecurityArgs(
                access_control_max_age_sec=31_536_000, include_subdomains=True, preload=True, override=True
            ),
            content_type_options=aws.cloudfront.ResponseHeadersPolicySecurityHeadersConfigContentTypeOptionsArgs(
                override=True
            ),
            frame_options=aws.cloudfront.ResponseHeadersPolicySecurityHeadersConfigFrameOptionsArgs(
                frame_option="DENY", override=True
            ),
            referrer_policy=aws.cloudfront.ResponseHeadersPolicySecurityHeadersConfigReferrerPolicyArgs(
                referrer_policy="no-referrer", override=True
            ),
        )
        return aws.cloudfront.ResponseHeadersPolicy(
            "edge", name=self._names.of("edge"), security_headers_config=security, opts=self._child
        )

    def _log(self, distribution: aws.cloudfront.Distribution, key: pulumi.Output[str]) -> None:
        """Every request at the edge, as JSON, in CloudWatch."""
        group = aws.cloudwatch.LogGroup(
            "edge-requests",
            name=f"/{self._names.secret('edge')}/requests",
            retention_in_days=self._topology.edge.log_retention_days,
            kms_key_id=key,
            tags=self._tags,
            opts=self._child,
        )
        source = aws.cloudwatch.LogDeliverySource(
            "edge",
            name=self._names.of("edge"),
            log_type="ACCESS_LOGS",
            resource_arn=distribution.arn,
            tags=self._tags,
            opts=self._child,
        )
        destination = aws.cloudwatch.LogDeliveryDestination(
            "edge",
            name=self._names.of("edge"),
            output_format="json",
            delivery_destination_configuration=aws.cloudwatch.LogDeliveryDestinationDeliveryDestinationConfigurationArgs(
                destination_resource_arn=group.arn
            ),
            tags=self._tags,
            opts=self._child,
        )
        aws.cloudwatch.LogDelivery(
            "edge",
            delivery_source_name=source.name,
            delivery_destination_arn=destination.arn,
            tags=self._tags,
            opts=self._child,
        )
