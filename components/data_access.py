"""Who may connect to a region's data servers, at one port: the regions' private subnets, and where told each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws

from components.network import RegionNetwork
from topology.topology import Topology


def data_security_group(
    name: str,
    service: str,
    port: int,
    *,
    physical_name: str,
    network: RegionNetwork,
    topology: Topology,
    tags: Mapping[str, str],
    opts: pulumi.ResourceOptions,
    peers: bool = False,
) -> pulumi.Output[str]:
    """The security group of a service's servers; a rule of its own
    for each subnet, so that another region only adds some.

    `peers`: the servers reach each other too, over the regions, as a move of slots needs: its receiver connects to its
    sender, and for the way back the other way round. Without it they open no connection at all.
    """
    group = aws.ec2.SecurityGroup(
        name,
        name=physical_name,
        description=f"{service}, from the regions' private subnets",
        vpc_id=network.vpc_id,
        tags=dict(tags),
        opts=opts,
    )
    for zone, block in topology.private_blocks.items():
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-{zone}",
            security_group_id=group.id,
            description=f"{service} from the private subnet of {zone}",
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            cidr_ipv4=str(block),
            tags=dict(tags),
            opts=opts,
        )
    for zone, block in topology.data_blocks.items() if peers else ():
        about: dict[str, Any] = {
            "ip_protocol": "tcp",
            "from_port": port,
            "to_port": port,
            "cidr_ipv4": str(block),
            "tags": dict(tags),
        }
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-from-{zone}-data",
            security_group_id=group.id,
            description=f"{service} from the data subnet of {zone}",
            **about,
            opts=opts,
        )
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-to-{zone}-data",
            security_group_id=group.id,
            description=f"{service} to the data subnet of {zone}",
            **about,
            opts=opts,
        )
    return group.id
