"""nginx in one cluster, and its and the mesh's pods in the load balancers' target groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.manifests import EAST_WEST, GATEWAY, GATEWAY_NAMESPACE, gateway, mesh, pods
from components.objects import declare
from components.platform import Platform
from components.region import RegionCell
from topology.topology import Topology


class Gateway(pulumi.ComponentResource):
    """One cluster's nginx: configuration, secrets, pods, and the bindings that register them with the load balancers.

    Inputs: `peers`, the other regions' internal load balancers by region; `after`, what must stand before a request is
    let in.
    """

    def __init__(
        self,
        cell: RegionCell,
        topology: Topology,
        platform: Platform,
        peers: Mapping[str, pulumi.Output[str]],
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        region = cell.region
        super().__init__("hal9:gateway:Gateway", f"{region.name}-gateway", {}, opts)
        ready = [*platform.ready, platform.namespaces[GATEWAY_NAMESPACE]]
        # without peers `all` gives a list: `dict` makes a map of both
        files = pulumi.Output.all(**peers).apply(lambda known: gateway.files(region, topology, dict(known)))
        ground = [
            declare(region, manifest, self, ready)
            for manifest in (
                pods.service_account(GATEWAY, GATEWAY_NAMESPACE),
                gateway.configuration(files),
                gateway.secrets(region, topology),
                gateway.service(),
                pods.disruption_budget(GATEWAY, GATEWAY_NAMESPACE, 1),
            )
        ]
        deployment = gateway.deployment(topology, topology.gateway.image, files.apply(gateway.start_hash))
        declare(region, deployment, self, [*ground, cell.pod_roles.ready["gateway"], *after])
        groups = cell.load_balancers.target_groups
        bindings = [("gateway", GATEWAY_NAMESPACE, GATEWAY, gateway.LISTEN)]
        if len(topology.regions) > 1:
            bindings += [
                ("peers", GATEWAY_NAMESPACE, GATEWAY, gateway.LISTEN_PEERS),
                ("east-west", EAST_WEST, EAST_WEST, mesh.EAST_WEST_PORT),
            ]
        for name, namespace, service, port in bindings:
            declare(region, gateway.binding(name, namespace, service, port, groups[name].arn), self, [*ready, *ground])
        self.register_outputs({"bindings": [name for name, *_ in bindings]})
