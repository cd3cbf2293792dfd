"""The peering mesh: every region's VPC joined to every other's, with routes and names both ways."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Protocol

import pulumi
import pulumi_aws as aws

from components.network import RegionNetwork
from topology.settings import Region
from topology.topology import Topology


class Cell(Protocol):
    """What a peering needs of each of its two regions."""

    region: Region
    provider: aws.Provider
    network: RegionNetwork


class PeeringMesh(pulumi.ComponentResource):
    """A peering connection for each pair of regions, accepted, with DNS and with routes in every route table.

    The region that comes first in the topology asks, the other accepts. A region added behind the others only adds
    connections and routes.

    Outputs: connection_ids by pair.
    """

    def __init__(
        self, topology: Topology, cells: Mapping[str, Cell], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hal9:peering:PeeringMesh", "peering", {}, opts)
        self._topology = topology
        ordered = [cells[region.name] for region in topology.ordered_regions]
        self.connection_ids = {
            f"{asks.region.name}--{accepts.region.name}": self._join(asks, accepts)
            for asks, accepts in combinations(ordered, 2)
        }
        self.register_outputs({"connection_ids": self.connection_ids})

    def _join(self, asks: Cell, accepts: Cell) -> pulumi.Output[str]:
        pair = f"{asks.region.name}--{accepts.region.name}"
        names = self._topology.names
        at_asker = pulumi.ResourceOptions(parent=self, provider=asks.provider)
        at_accepter = pulumi.ResourceOptions(parent=self, provider=accepts.provider)
        connection = aws.ec2.VpcPeeringConnection(
            pair,
            vpc_id=asks.network.vpc_id,
            peer_vpc_id=accepts.network.vpc_id,
            peer_region=accepts.region.aws_region,
            auto_accept=False,
            tags=names.tags("peering", asks.region.name, name=names.of(pair)),
            opts=at_asker,
        )
        accepted = aws.ec2.VpcPeeringConnectionAccepter(
            pair,
            vpc_peering_connection_id=connection.id,
            auto_accept=True,
            tags=names.tags("peering", accepts.region.name, name=names.of(pair)),
            opts=at_accepter,
        )
        # The accepter's id is the connection's, but known only once it is accepted: options and routes wait for it.
        active = accepted.id
        aws.ec2.PeeringConnectionOptions(
            f"{pair}-asks",
            vpc_peering_connection_id=active,
            requester=aws.ec2.PeeringConnectionOptionsRequesterArgs(allow_remote_vpc_dns_resolution=True),
            opts=at_asker,
        )
        aws.ec2.PeeringConnectionOptions(
            f"{pair}-accepts",
            vpc_peering_connection_id=active,
            accepter=aws.ec2.PeeringConnectionOptionsAccepterArgs(allow_remote_vpc_dns_resolution=True),
            opts=at_accepter,
        )
        for here, there, options in ((asks, accepts, at_asker), (accepts, asks, at_accepter)):
            for key, table in here.network.route_tables.items():
                aws.ec2.Route(
                    f"{here.region.name}-{key}-to-{there.region.name}",
                    route_table_id=table.id,
                    destination_cidr_block=str(there.region.cidr),
                    vpc_peering_connection_id=active,
                    opts=options,
                )
        return active
