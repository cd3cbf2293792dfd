"""The mesh's objects in one cluster: who may talk, the routes, and the other regions' endpoints."""

from __future__ import annotations

import pulumi

from components.manifests import mesh
from components.objects import declare
from components.platform import Platform
from components.region import RegionCell
from topology.topology import Topology


class Mesh(pulumi.ComponentResource):
    """One cluster's part of the mesh. A subset stands before the route to it; endpoints stand before both.

    Outputs: ready.
    """

    def __init__(
        self, cell: RegionCell, topology: Topology, platform: Platform, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        region = cell.region
        super().__init__("hal9:mesh:Mesh", f"{region.name}-mesh", {}, opts)
        after = [*platform.ready, *platform.namespaces.values()]
        first = [*mesh.security(topology), *mesh.remote_endpoints(region, topology)]
        if len(topology.regions) > 1:
            first.append(mesh.east_west_gateway())
        standing = [declare(region, manifest, self, after) for manifest in first]
        subsets = declare(region, mesh.destination_rule(topology), self, standing)
        routes = declare(region, mesh.virtual_service(topology), self, [subsets])
        self.ready: list[pulumi.Resource] = [*standing, subsets, routes]
        self.register_outputs({"regions": [other.name for other in topology.others(region.name)]})
