"""Where everything of the lab is: an address for each region on loopback, a port for each server. Pure.

Region number n lives at 127.77.n.1. What another region m has, it reaches at 127.77.n.(100 + m) on the same port: there
a link listens and passes on, with the delay of the distance. So no connection between regions can miss its link.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.deployment import DatabaseConnection, Endpoint, RegionalEndpoint, ServerConfig, SessionStore
from lab.links import Route
from topology import ports
from topology.settings import Shard
from topology.topology import Topology

POSTGRES_PRIMARY = ports.POSTGRES
POSTGRES_REPLICA = 5632
CACHE = ports.REDIS
SESSIONS = 6380
SESSION_COPIES = 6400
APP = ServerConfig().port
APP_STRIDE = 10
REGION_STRIDE = 100
_MOST_REGIONS = 99
"""Regions that the addresses have room for."""


@dataclass(frozen=True)
class Layout:
    """Addresses and ports of a topology's lab."""

    topology: Topology

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions' names, in the topology's order."""
        return tuple(region.name for region in self.topology.ordered_regions)

    def number(self, region: str) -> int:
        """A region's number, from 1. ValueError above what the addresses have room for."""
        number = self.regions.index(region) + 1
        if number > _MOST_REGIONS:
            raise ValueError(f"the lab has addresses for {_MOST_REGIONS} regions")
        return number

    def host(self, region: str) -> str:
        """A region's own address."""
        return f"127.77.{self.number(region)}.1"

    def seen_from(self, viewer: str, region: str) -> str:
        """The address by which `viewer` reaches what is in `region`."""
        return self.host(region) if viewer == region else f"127.77.{self.number(viewer)}.{100 + self.number(region)}"

    def endpoint(self, viewer: str, region: str, port: int) -> Endpoint:
        """A server of `region`, as `viewer` reaches it."""
        return Endpoint(host=self.seen_from(viewer, region), port=port, tls=False)

    def primary_port(self, shard: Shard) -> int:
        """The port of a shard's primary, in its home."""
        return POSTGRES_PRIMARY + self.topology.shards.index(shard)

    def replica_port(self, shard: Shard) -> int:
        """The port of a shard's replica, in each region that has one."""
        return POSTGRES_REPLICA + self.topology.shards.index(shard)

    def copy_port(self, region: str) -> int:
        """The port of the copies of a region's session store, in the regions that have one."""
        return SESSION_COPIES + self.number(region)

    def app_ports(self, region: str, process: int) -> tuple[int, int]:
        """Ports of an app process: HTTP, and metrics. Apart in every region, as the app listens on all addresses."""
        http = APP + REGION_STRIDE * (self.number(region) - 1) + APP_STRIDE * process
        return http, http + 1

    def ports(self, region: str) -> list[int]:
        """Every port that other regions use in `region`."""
        topology = self.topology
        primaries = [self.primary_port(shard) for shard in topology.shards if shard.at == region]
        replicas = [self.replica_port(shard) for shard in topology.shards if region in topology.replica_regions(shard)]
        copies = [
            self.copy_port(other.name)
            for other in topology.ordered_regions
            if region in topology.session_replica_regions(other)
        ]
        return [*primaries, *replicas, CACHE, SESSIONS, *copies, ports.GATEWAY_PEERS]

    def routes(self) -> Iterator[Route]:
        """Every way between two regions."""
        for source in self.regions:
            for destination in self.regions:
                if source != destination:
                    for port in self.ports(destination):
                        listen, target = self.seen_from(source, destination), self.host(destination)
                        yield Route(source, destination, (listen, port), (target, port))

    def primary(self, viewer: str, shard: Shard) -> DatabaseConnection:
        """A shard's primary, for the deployment document of `viewer`."""
        endpoint = self.endpoint(viewer, shard.at, self.primary_port(shard))
        return DatabaseConnection(region=shard.at, endpoint=endpoint)

    def replicas(self, viewer: str, shard: Shard) -> tuple[DatabaseConnection, ...]:
        """A shard's replicas, likewise."""
        return tuple(
            DatabaseConnection(region=region, endpoint=self.endpoint(viewer, region, self.replica_port(shard)))
            for region in self.topology.replica_regions(shard)
        )

    def sessions(self, viewer: str, region: str) -> SessionStore:
        """A region's session store and its copies, likewise."""
        copies = self.topology.session_replica_regions(self.topology.regions[region])
        return SessionStore(
            primary=self.endpoint(viewer, region, SESSIONS),
            replicas=tuple(
                RegionalEndpoint(region=where, endpoint=self.endpoint(viewer, where, self.copy_port(region)))
                for where in copies
            ),
        )
