"""nginx in one cluster, and its and the mesh's pods in the load balancers' target groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.manifests import EAST_WEST, GATEWAY, GATEWAY_NAMESPACE, gateway, pods
from components.objects import declare
from components.platform import Platform
from components.region import RegionCell
from components.workload import image
from topology import ports
from topology.topology import Topology

ROLL_MINUTES = 30
"""For pods that are replaced one by one: each is registered, watched, and drained for minutes."""


class Gateway(pulumi.ComponentResource):
    """One cluster's nginx: configuration, secrets, pods, and the bindings that register them with the load balancers.

    Inputs: `peers`, the other regions' internal load balancers by region; `after`, what must stand before a request is
    let in. Outputs: deployment.
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
        # nginx's files as far as a preview can know them, with
        # regions' names for hosts: what changes in them can be told
        known = gateway.files(region, topology, {name: name for name in peers})
        told = {"region": region.name, "files": known}
        super().__init__("hal9:gateway:Gateway", f"{region.name}-gateway", told, opts)
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
        groups = cell.load_balancers.target_groups
        bindings = [("gateway", GATEWAY_NAMESPACE, GATEWAY, ports.GATEWAY)]
        if len(topology.regions) > 1:
            bindings += [
                ("peers", GATEWAY_NAMESPACE, GATEWAY, ports.GATEWAY_PEERS),
                ("east-west", EAST_WEST, EAST_WEST, ports.EAST_WEST),
            ]
        bound = [
            declare(region, gateway.binding(name, namespace, service, port, groups[name].arn), self, [*ready, *ground])
            for name, namespace, service, port in bindings
        ]
        # After the bindings: the controller gives a pod its readiness
        # gate by the bindings that there are when it is made.
        manifest = gateway.deployment(
            topology, topology.gateway.image, image(cell, topology), files.apply(gateway.start_hash)
        )
        standing = [*ground, *bound, cell.pod_roles.ready["gateway"], *after]
        self.deployment = declare(region, manifest, self, standing, minutes=ROLL_MINUTES)
        self.register_outputs({"bindings": [name for name, *_ in bindings]})
