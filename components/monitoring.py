"""Monitoring's objects in one cluster: what is scraped, the rules and alerts, the dashboards."""

from __future__ import annotations

import pulumi

from components.manifests import monitoring
from components.objects import declare
from components.platform import Platform
from components.region import RegionCell
from topology.topology import Topology


class Monitoring(pulumi.ComponentResource):
    """One cluster's PodMonitors, rules and dashboards, which the prometheus stack of its platform picks up."""

    def __init__(
        self, cell: RegionCell, topology: Topology, platform: Platform, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        region = cell.region
        super().__init__("hal9:monitoring:Monitoring", f"{region.name}-monitoring", {}, opts)
        after = [platform.releases["kube-prometheus-stack"]]
        manifests = [*monitoring.monitors(topology), monitoring.rules(region, topology), *monitoring.panels(topology)]
        for manifest in manifests:
            declare(region, manifest, self, after)
        self.register_outputs({"objects": len(manifests)})
