"""One region's VPC."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from components import iam
from components.keys import RegionKeys
from topology import addressing
from topology.addressing import Tier
from topology.settings import Region
from topology.topology import Topology

ANYWHERE = "0.0.0.0/0"
_LOAD_BALANCER_ROLE = {Tier.PUBLIC: "kubernetes.io/role/elb", Tier.PRIVATE: "kubernetes.io/role/internal-elb"}


class RegionNetwork(pulumi.ComponentResource):
    """One region's VPC: public, private and data subnets over its zones, NAT, endpoints, flow logs.

    The data tier has no route to the internet. Subnets come from `addressing.subnet`, so adding a zone never
    renumbers one that exists. Routes are resources of their own, so that a peering only adds some.

    Outputs: vpc_id, subnet_ids by tier (zone order), route_table_ids by a name of tier and zone.
    """

    def __init__(
        self, region: Region, topology: Topology, keys: RegionKeys, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hal9:network:RegionNetwork", f"{region.name}-network", {}, opts)
        self._region, self._topology, self._names = region, topology, topology.names
        self._child = pulumi.ResourceOptions(parent=self)
        self.vpc = self._vpc()
        self.vpc_id = self.vpc.id
        self.subnets = {tier: self._subnets(tier) for tier in Tier}
        self.subnet_ids = {tier: [subnet.id for subnet in subnets] for tier, subnets in self.subnets.items()}
        self.route_tables = self._route_tables()
        self._ways_out()
        self._endpoints()
        self._flow_logs(keys)
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "subnet_ids": {tier.value: ids for tier, ids in self.subnet_ids.items()},
                "route_table_ids": {name: table.id for name, table in self.route_tables.items()},
            }
        )

    def _tags(self, *parts: str) -> dict[str, str]:
        return self._names.tags("network", self._region.name, name=self._names.of(self._region.name, *parts))

    def _vpc(self) -> aws.ec2.Vpc:
        name = self._region.name
        vpc = aws.ec2.Vpc(
            name,
            cidr_block=str(self._region.cidr),
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._tags(),
            opts=pulumi.ResourceOptions(parent=self, protect=self._topology.protect),
        )
        # AWS makes a default group that lets its members talk; taken over without rules, it lets nothing.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default",
            vpc_id=vpc.id,
            ingress=[],
            egress=[],
            tags=self._tags("default-closed"),
            opts=self._child,
        )
        return vpc

    def _subnets(self, tier: Tier) -> list[aws.ec2.Subnet]:
        role = {_LOAD_BALANCER_ROLE[tier]: "1"} if tier in _LOAD_BALANCER_ROLE else {}
        return [
            aws.ec2.Subnet(
                f"{self._region.name}-{tier}-{zone}",
                vpc_id=self.vpc_id,
                availability_zone=zone,
                cidr_block=str(addressing.subnet(self._region.cidr, tier, addressing.place(zone))),
                map_public_ip_on_launch=False,
                tags={**self._tags(tier, zone), "tier": tier.value, **role},
                opts=self._child,
            )
            for zone in self._region.zones_in_order
        ]

    def _route_tables(self) -> dict[str, aws.ec2.RouteTable]:
        """One for the public tier, one for the data tier, one a zone for the private tier (each has its own NAT)."""
        tables: dict[str, aws.ec2.RouteTable] = {}
        for tier in Tier:
            for zone, subnet in zip(self._region.zones_in_order, self.subnets[tier], strict=True):
                key = f"{tier}-{zone}" if tier is Tier.PRIVATE else tier.value
                if key not in tables:
                    tables[key] = aws.ec2.RouteTable(
                        f"{self._region.name}-{key}", vpc_id=self.vpc_id, tags=self._tags(key), opts=self._child
                    )
                aws.ec2.RouteTableAssociation(
                    f"{self._region.name}-{tier}-{zone}",
                    subnet_id=subnet.id,
                    route_table_id=tables[key].id,
                    opts=self._child,
                )
        return tables

    def _ways_out(self) -> None:
        """The internet gateway for the public tier, and NAT for the private one: a gateway a zone, or one for all."""
        name = self._region.name
        internet = aws.ec2.InternetGateway(name, vpc_id=self.vpc_id, tags=self._tags("internet"), opts=self._child)
        aws.ec2.Route(
            f"{name}-public-internet",
            route_table_id=self.route_tables[Tier.PUBLIC].id,
            destination_cidr_block=ANYWHERE,
            gateway_id=internet.id,
            opts=self._child,
        )
        order = self._region.zones_in_order
        zones = order if self._region.nat_gateways == "zone" else order[:1]
        gateways: list[aws.ec2.NatGateway] = []
        for zone, subnet in zip(zones, self.subnets[Tier.PUBLIC], strict=False):
            address = aws.ec2.Eip(f"{name}-nat-{zone}", domain="vpc", tags=self._tags("nat", zone), opts=self._child)
            gateways.append(
                aws.ec2.NatGateway(
                    f"{name}-{zone}",
                    subnet_id=subnet.id,
                    allocation_id=address.id,
                    tags=self._tags("nat", zone),
                    opts=pulumi.ResourceOptions(parent=self, depends_on=[internet]),
                )
            )
        for index, zone in enumerate(order):
            aws.ec2.Route(
                f"{name}-private-{zone}-internet",
                route_table_id=self.route_tables[f"{Tier.PRIVATE}-{zone}"].id,
                destination_cidr_block=ANYWHERE,
                nat_gateway_id=gateways[index % len(gateways)].id,
                opts=self._child,
            )

    def _endpoints(self) -> None:
        """AWS's services without the way over the internet: S3
        through the route tables, the rest through interfaces.
        """
        name, aws_region = self._region.name, self._region.aws_region
        aws.ec2.VpcEndpoint(
            f"{name}-s3",
            vpc_id=self.vpc_id,
            service_name=f"com.amazonaws.{aws_region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[self.route_tables[key].id for key in self.route_tables if key != Tier.PUBLIC],
            tags=self._tags("s3"),
            opts=self._child,
        )
        services = self._topology.network.interface_endpoints
        if not services:
            return
        group = aws.ec2.SecurityGroup(
            f"{name}-endpoints",
            name=self._names.of(name, "endpoints"),
            description="AWS service endpoints, for this VPC alone",
            vpc_id=self.vpc_id,
            tags=self._tags("endpoints"),
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-endpoints-https",
            security_group_id=group.id,
            description="HTTPS from this VPC",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=str(self._region.cidr),
            tags=self._tags("endpoints"),
            opts=self._child,
        )
        for service in services:
            aws.ec2.VpcEndpoint(
                f"{name}-{service}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{aws_region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=self.subnet_ids[Tier.PRIVATE],
                security_group_ids=[group.id],
                tags=self._tags(service),
                opts=self._child,
            )

    def _flow_logs(self, keys: RegionKeys) -> None:
        """Every flow of the VPC, accepted and rejected, in CloudWatch."""
        name = self._region.name
        group = aws.cloudwatch.LogGroup(
            f"{name}-flows",
            name=f"/{self._names.secret(name)}/flows",
            retention_in_days=self._topology.network.flow_log_retention_days,
            kms_key_id=keys.arns["telemetry"],
            tags=self._tags("flows"),
            opts=self._child,
        )
        role = aws.iam.Role(
            f"{name}-flows",
            name=self._names.of(name, "flows"),
            assume_role_policy=iam.service_trust("vpc-flow-logs.amazonaws.com", self._topology.account_id),
            tags=self._tags("flows"),
            opts=self._child,
        )
        actions = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
        policy = aws.iam.RolePolicy(
            f"{name}-flows",
            role=role.id,
            policy=group.arn.apply(lambda arn: iam.policy(iam.statement(actions, [arn, f"{arn}:log-stream:*"]))),
            opts=self._child,
        )
        aws.ec2.FlowLog(
            name,
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=60,
            tags=self._tags("flows"),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
