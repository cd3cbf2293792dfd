"""What runs in the clusters, all regions together: a pod of any
region may use any shard, so all migrate before one serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.authorities import RegionAuthority
from components.gateway import Gateway
from components.heartbeat import Heartbeat
from components.mesh import Mesh
from components.monitoring import Monitoring
from components.platform import Platform
from components.region import RegionCell
from components.workload import Ground, Workload
from topology.topology import Topology


class Clusters(pulumi.ComponentResource):
    """Every cluster's platform, mesh, monitoring, migrations, `hal9-server` and nginx.

    What serves is changed in one region after another, in the regions' order: the next begins when the pods of the last
    are ready, so a change that does not work stops in the first, and users are served by the others.

    Inputs: the cells by region; `documents`, the deployment documents by region; `authorities`, the mesh's authority of
    each region; `data`, the databases, Redis, secrets and peering connections that a pod needs to be there.
    Outputs: platforms by region.
    """

    def __init__(
        self,
        topology: Topology,
        cells: Mapping[str, RegionCell],
        documents: Mapping[str, pulumi.Output[str]],
        authorities: Mapping[str, RegionAuthority],
        data: Sequence[pulumi.Resource],
    ) -> None:
        super().__init__("hal9:incluster:Clusters", "clusters", {})
        self.platforms: dict[str, Platform] = {}
        grounds: dict[str, Ground] = {}
        options: dict[str, pulumi.ResourceOptions] = {}
        balancers = {name: cell.load_balancers.internal_dns for name, cell in cells.items()}
        others = {
            name: {other.name: balancers[other.name] for other in topology.others(name)} for name in topology.regions
        }
        last: list[pulumi.Resource] = []
        for name, cell in cells.items():
            heartbeat = Heartbeat(cell, topology, pulumi.ResourceOptions(parent=cell))
            platform = Platform(
                cell,
                topology,
                authorities[name],
                others[name],
                heartbeat.topic_arn,
                last,
                pulumi.ResourceOptions(parent=self),
            )
            heartbeat.watch([platform.releases["kube-prometheus-stack"]])
            last = platform.serving
            options[name] = pulumi.ResourceOptions(parent=self, providers=[platform.provider])
            grounds[name] = Ground(cell, topology, platform, documents[name], data, options[name])
            Monitoring(cell, topology, platform, options[name])
            self.platforms[name] = platform
        migrated = [job for ground in grounds.values() for job in ground.migrations]
        last = []
        for name, cell in cells.items():
            platform = self.platforms[name]
            mesh = Mesh(cell, topology, platform, options[name])
            workload = Workload(cell, topology, grounds[name], [*mesh.ready, *migrated, *last], options[name])
            gateway = Gateway(cell, topology, platform, others[name], [workload.deployment], options[name])
            last = [workload.deployment, gateway.deployment]
        self.register_outputs({"regions": list(cells)})
