"""`hal9-server` in one cluster: its schema migrations, and the pods that come after every shard's."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components.manifests import NAMESPACE, OPERATIONS, SERVER, classes, commands, network_policies, pods, server
from components.manifests.autoscaler import autoscaler
from components.objects import declare
from components.platform import Platform
from components.region import RegionCell
from topology.topology import Topology


def image(cell: RegionCell, topology: Topology) -> pulumi.Output[str]:
    """The whole reference of the server's image in the region's own registry."""
    return cell.registry.url.apply(lambda url: url + topology.server.image.removeprefix(topology.repository))


MIGRATION_MINUTES = commands.MIGRATION_SECONDS // 60 + 5
"""Above the Job's own deadline, so that it is the Job that gives up and says why."""


class Ground(pulumi.ComponentResource):
    """What `hal9-server`'s pods and migrations of one cluster stand on: account, document, secrets, network policies;
    and the migrations of the shards that are at home here.

    Inputs: `document`, the region's deployment document as JSON; `data`, what must answer before a migration runs.
    Outputs: sha256 of the document; ready; migrations.
    """

    def __init__(
        self,
        cell: RegionCell,
        topology: Topology,
        platform: Platform,
        document: pulumi.Output[str],
        data: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        region = cell.region
        super().__init__("hal9:workload:Ground", f"{region.name}-ground", {}, opts)
        after = [*platform.ready, *platform.namespaces.values()]
        manifests = [
            pods.service_account(SERVER, NAMESPACE),
            server.document(document),
            server.secrets(SERVER, server.secret_names(topology), region, topology),
            *commands.grounds(region, topology),
            *network_policies.policies(region, topology),
        ]
        self.sha256 = document.apply(server.document_hash)
        self.ready = [declare(region, manifest, self, after) for manifest in manifests]
        reference = image(cell, topology)
        role = cell.pod_roles.ready["migrate"]
        self.migrations = [
            declare(
                region,
                commands.migration(shard, topology, reference),
                self,
                [*self.ready, role, *data],
                minutes=MIGRATION_MINUTES,
            )
            for shard in topology.shards
            if shard.at == region.name
        ]
        declare(
            region, commands.operations(topology, reference), self, [*self.ready, cell.pod_roles.ready["operations"]]
        )
        declare(region, pods.disruption_budget(OPERATIONS, NAMESPACE, 1), self, self.ready)
        self.register_outputs({"migrations": len(self.migrations)})


class Workload(pulumi.ComponentResource):
    """`hal9-server`'s pods in one cluster: Deployment, Service, autoscaler, disruption budget, headroom.

    Inputs: `migrated`, the migrations of every shard, wherever they ran: a pod of any region may use any shard.
    """

    def __init__(
        self,
        cell: RegionCell,
        topology: Topology,
        ground: Ground,
        migrated: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        region = cell.region
        super().__init__("hal9:workload:Workload", f"{region.name}-workload", {}, opts)
        after = [*ground.ready, cell.pod_roles.ready["server"], *migrated]
        service = declare(region, server.service(), self, ground.ready)
        deployment = declare(
            region, server.deployment(region, topology, image(cell, topology), ground.sha256), self, [service, *after]
        )
        declare(region, pods.disruption_budget(SERVER, NAMESPACE, "10%"), self, ground.ready)
        declare(region, autoscaler(topology), self, [deployment])
        if topology.autoscaling.headroom_pods:
            declare(region, pods.disruption_budget(classes.HEADROOM, NAMESPACE, "50%"), self, ground.ready)
            declare(region, server.headroom(topology, image(cell, topology)), self, [deployment])
        self.deployment, self.service = deployment, service
        self.register_outputs({"deployment": SERVER})
