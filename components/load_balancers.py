"""One region's network load balancers: the public one behind the edge, and the internal one for the other regions."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.alarms import RegionAlarms
from components.cluster import RegionCluster
from components.domain import Domain
from components.manifests import pods
from components.network import RegionNetwork
from topology import catalog, ports
from topology.addressing import Tier
from topology.settings import Region
from topology.topology import Topology

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-3-2021-06"
"""TLS 1.3 and nothing older. CloudFront speaks it to origins by itself."""
DEREGISTRATION_SECONDS = pods.DRAIN_SECONDS + pods.SHUTDOWN_SECONDS
"""How long a pod that leaves still gets its old connections: as long as it answers on them, or they would be cut in the
middle of a request. Below the pods' grace period."""


@dataclass(frozen=True)
class WayIn:
    """A way in: the listener's port, the port of nginx or Istio's
    gateway behind it, and the port that tells its health.
    """

    listener: int
    target: int
    health: int


GATEWAY = WayIn(listener=443, target=ports.GATEWAY, health=ports.GATEWAY_HEALTH)
"""nginx, for CloudFront."""
GATEWAY_PEERS = WayIn(listener=ports.GATEWAY_PEERS, target=ports.GATEWAY_PEERS, health=ports.GATEWAY_HEALTH)
"""nginx, for the other regions' nginx."""
EAST_WEST = WayIn(listener=ports.EAST_WEST, target=ports.EAST_WEST, health=ports.EAST_WEST_HEALTH)
"""Istio's east-west gateway, for the other regions' sidecars."""


class RegionLoadBalancers(pulumi.ComponentResource):
    """One region's two NLBs, owned here so that no controller can leave one behind; a controller only registers pods.

    The public one ends TLS 1.3 with the domain's certificate and takes CloudFront's addresses alone. The internal one
    passes TLS through, to nginx and to Istio's east-west gateway, from the regions' private subnets.

    Outputs: public_dns and public_zone_id; internal_dns; target_groups by `gateway`, `peers`, `east-west`;
    healthy_alarm, the alarm that is on while no nginx is healthy.
    """

    def __init__(
        self,
        region: Region,
        topology: Topology,
        network: RegionNetwork,
        cluster: RegionCluster,
        domain: Domain,
        alarms: RegionAlarms,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:load_balancers:RegionLoadBalancers", f"{region.name}-load-balancers", {}, opts)
        self._region, self._topology, self._network, self._names = region, topology, network, topology.names
        self._cluster, self._child = cluster, pulumi.ResourceOptions(parent=self)
        self._tags = self._names.tags("load-balancers", region.name)
        self.target_groups: dict[str, aws.lb.TargetGroup] = {}
        public = self._public(domain)
        internal = self._internal()
        self.public_dns, self.public_zone_id = public.dns_name, public.zone_id
        self.internal_dns = internal.dns_name
        self.healthy_alarm = alarms.alarm(
            f"{region.name}-gateway-healthy",
            description=f"No nginx of {region.name} is healthy; Route 53 takes the region out: docs/runbooks/region.md",
            namespace="AWS/NetworkELB",
            metric="HealthyHostCount",
            dimensions={
                "LoadBalancer": public.arn_suffix,
                "TargetGroup": self.target_groups["gateway"].arn_suffix,
            },
            below=1,
            statistic="Maximum",
            minutes=1,
            missing_data="breaching",
            tags=self._tags,
            opts=self._child,
        )
        self.register_outputs({"public_dns": self.public_dns, "internal_dns": self.internal_dns})

    def _public(self, domain: Domain) -> aws.lb.LoadBalancer:
        name = f"{self._region.name}-public"
        group = self._security_group("public", "CloudFront's origin-facing addresses alone")
        self._ingress(
            f"{name}-https",
            group,
            GATEWAY.listener,
            prefix_list=catalog.CLOUDFRONT_PREFIX_LISTS[self._region.aws_region],
        )
        balancer = self._balancer("public", group, internal=False, tier=Tier.PUBLIC)
        certificate = aws.acm.Certificate(
            name, domain_name=self._topology.domain, validation_method="DNS", tags=self._tags, opts=self._child
        )
        valid = aws.acm.CertificateValidation(
            name,
            certificate_arn=certificate.arn,
            validation_record_fqdns=[domain.validation_fqdn],
            opts=self._child,
        )
        # From the NLB to nginx the connection is TLS again; an NLB does not check the certificate behind it.
        target = self._target_group("gateway", GATEWAY, "TLS")
        aws.lb.Listener(
            name,
            load_balancer_arn=balancer.arn,
            port=GATEWAY.listener,
            protocol="TLS",
            ssl_policy=TLS_POLICY,
            certificate_arn=valid.certificate_arn,
            alpn_policy="HTTP1Only",
            default_actions=[aws.lb.ListenerDefaultActionArgs(type="forward", target_group_arn=target.arn)],
            tags=self._tags,
            opts=self._child,
        )
        return balancer

    def _internal(self) -> aws.lb.LoadBalancer:
        group = self._security_group("internal", "The other regions' nginx and sidecars")
        balancer = self._balancer("internal", group, internal=True, tier=Tier.PRIVATE)
        for role, way in (("peers", GATEWAY_PEERS), ("east-west", EAST_WEST)):
            for zone, block in self._topology.private_blocks.items():
                self._ingress(f"{self._region.name}-{role}-from-{zone}", group, way.listener, block=str(block))
            target = self._target_group(role, way, "TCP")
            aws.lb.Listener(
                f"{self._region.name}-{role}",
                load_balancer_arn=balancer.arn,
                port=way.listener,
                protocol="TCP",
                default_actions=[aws.lb.ListenerDefaultActionArgs(type="forward", target_group_arn=target.arn)],
                tags=self._tags,
                opts=self._child,
            )
        return balancer

    def _balancer(self, role: str, group: aws.ec2.SecurityGroup, *, internal: bool, tier: Tier) -> aws.lb.LoadBalancer:
        return aws.lb.LoadBalancer(
            f"{self._region.name}-{role}",
            name=self._names.of_balancer(self._region.name, role),
            load_balancer_type="network",
            internal=internal,
            subnets=self._network.subnet_ids[tier],
            security_groups=[group.id],
            enable_cross_zone_load_balancing=True,
            enable_deletion_protection=self._topology.protect,
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, protect=self._topology.protect),
        )

    def _target_group(self, role: str, way: WayIn, protocol: str) -> aws.lb.TargetGroup:
        group = self.target_groups[role] = aws.lb.TargetGroup(
            f"{self._region.name}-{role}",
            name=self._names.of_balancer(self._region.name, role),
            vpc_id=self._network.vpc_id,
            target_type="ip",
            port=way.target,
            protocol=protocol,
            preserve_client_ip="false",
            deregistration_delay=DEREGISTRATION_SECONDS,
            connection_termination=True,
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                protocol="HTTP",
                port=str(way.health),
                path="/healthz/ready" if way is EAST_WEST else "/healthz",
                interval=10,
                healthy_threshold=2,
                unhealthy_threshold=2,
            ),
            tags=self._tags,
            opts=self._child,
        )
        return group

    def _security_group(self, role: str, description: str) -> aws.ec2.SecurityGroup:
        """The balancer's own group: out to the pods alone, and the pods' group takes what comes from it."""
        name = f"{self._region.name}-{role}"
        group = aws.ec2.SecurityGroup(
            name,
            name=self._names.of(self._region.name, f"{role}-nlb"),
            description=description,
            vpc_id=self._network.vpc_id,
            tags=self._tags,
            opts=self._child,
        )
        ways = (GATEWAY,) if role == "public" else (GATEWAY_PEERS, EAST_WEST)
        for number in sorted({n for way in ways for n in (way.target, way.health)}):
            aws.vpc.SecurityGroupEgressRule(
                f"{name}-to-pods-{number}",
                security_group_id=group.id,
                description="To the pods",
                referenced_security_group_id=self._cluster.security_group_id,
                ip_protocol="tcp",
                from_port=number,
                to_port=number,
                tags=self._tags,
                opts=self._child,
            )
            aws.vpc.SecurityGroupIngressRule(
                f"{name}-at-pods-{number}",
                security_group_id=self._cluster.security_group_id,
                description=f"From the {role} load balancer",
                referenced_security_group_id=group.id,
                ip_protocol="tcp",
                from_port=number,
                to_port=number,
                tags=self._tags,
                opts=self._child,
            )
        return group

    def _ingress(
        self,
        name: str,
        group: aws.ec2.SecurityGroup,
        port: int,
        block: str | None = None,
        prefix_list: str | None = None,
    ) -> None:
        aws.vpc.SecurityGroupIngressRule(
            name,
            security_group_id=group.id,
            description="From CloudFront" if prefix_list else "From a region's private subnets",
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            cidr_ipv4=block,
            prefix_list_id=prefix_list,
            tags=self._tags,
            opts=self._child,
        )
