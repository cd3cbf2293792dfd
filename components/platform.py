"""What every cluster has before a workload comes: its provider, namespaces, the mesh's authority, and the charts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s
import pulumi_random as random

from components.authorities import RegionAuthority
from components.manifests import (
    EAST_WEST,
    GATEWAY_NAMESPACE,
    MESH_NAMESPACE,
    MONITORING,
    NAMESPACE,
    Manifest,
    classes,
    mesh,
    metadata,
    server,
)
from components.manifests.charts import GRAFANA_SECRET, Chart, Facts, charts
from components.objects import declare
from components.region import RegionCell
from topology.topology import Topology

CHART_ROLES = {
    "cluster-autoscaler": "cluster-autoscaler",
    "aws-load-balancer-controller": "load-balancer-controller",
    "kube-prometheus-stack": "alertmanager",
}
"""Charts whose pods need an AWS role, and which (components/pod_roles.py): the role's association comes first, as a pod
that starts before it gets none."""


class Platform(pulumi.ComponentResource):
    """One cluster's platform: Istio, secrets as files, metrics,
    monitoring, the autoscaler of nodes, the load balancers' controller.

    Each chart comes after those whose custom resources or webhooks it needs; `ready` is what workloads wait for.

    Inputs: `gateways`, the other regions' internal load balancers by region; `heartbeat`, the topic that Alertmanager
    shows its life to; `last`, what serves in the region before this one.
    Outputs: provider, namespaces by name, releases by name, ready; serving, the releases that requests pass through.
    """

    def __init__(
        self,
        cell: RegionCell,
        topology: Topology,
        authority: RegionAuthority,
        gateways: Mapping[str, pulumi.Output[str]],
        heartbeat: pulumi.Output[str],
        last: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        region = cell.region
        self.provider = _provider(cell)
        options = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=[self.provider]))
        super().__init__("hal9:platform:Platform", f"{region.name}-platform", {}, options)
        self._region, self._cell = region, cell
        self.namespaces = {
            manifest["metadata"]["name"]: declare(region, manifest, self)
            for manifest in namespaces(region.name, topology)
        }
        authority_secret = declare(
            region,
            mesh.authority(authority.certificate, authority.key, authority.root),
            self,
            [self.namespaces[MESH_NAMESPACE]],
        )
        grafana = self._grafana()
        disk = declare(region, classes.storage(cell.keys.arns["cluster"]), self)
        priorities = [declare(region, manifest, self) for manifest in classes.priorities()]
        facts = Facts(cell.cluster.name, cell.network.vpc_id, cell.alarms.topic_arn, heartbeat, gateways)
        self.releases: dict[str, k8s.helm.v3.Release] = {}
        first: dict[str, list[pulumi.Resource]] = {
            "istiod": [authority_secret, *priorities],
            "kube-prometheus-stack": [grafana, disk, *priorities],
            # it stands behind a load balancer, whose controller holds its pods back until they are targets
            EAST_WEST: list(last),
        }
        for chart in charts(region, topology, facts):
            self.releases[chart.name] = self._release(chart, first.get(chart.name, []))
        self.ready: list[pulumi.Resource] = list(self.releases.values())
        self.serving: list[pulumi.Resource] = [self.releases[EAST_WEST]] if EAST_WEST in self.releases else []
        self.register_outputs({"releases": list(self.releases)})

    def _release(self, chart: Chart, before: list[pulumi.Resource]) -> k8s.helm.v3.Release:
        after: list[pulumi.Resource] = [*before, *(self.releases[name] for name in chart.after)]
        if chart.namespace in self.namespaces:
            after.append(self.namespaces[chart.namespace])
        if role := CHART_ROLES.get(chart.name):
            after.append(self._cell.pod_roles.ready[role])
        return k8s.helm.v3.Release(
            f"{self._region.name}-{chart.name}",
            name=chart.name,
            chart=chart.chart,
            version=chart.version,
            repository_opts=k8s.helm.v3.RepositoryOptsArgs(repo=chart.repository),
            namespace=chart.namespace,
            values=chart.values,
            atomic=True,
            timeout=chart.seconds,
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )

    def _grafana(self) -> pulumi.CustomResource:
        """Grafana's administrator, with a password that nobody chose."""
        password = random.RandomPassword(
            f"{self._region.name}-grafana", length=32, special=False, opts=pulumi.ResourceOptions(parent=self)
        )
        manifest: Manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(GRAFANA_SECRET, MONITORING),
            "stringData": {"username": "admin", "password": pulumi.Output.secret(password.result)},
        }
        return declare(self._region, manifest, self, [self.namespaces[MONITORING]])


def namespaces(region: str, topology: Topology) -> list[Manifest]:
    """The namespaces that are ours. Istio's CNI agent and the node exporter need the host, nothing else does."""
    found = [
        server.namespace(NAMESPACE),
        server.namespace(GATEWAY_NAMESPACE, gated=True),
        server.namespace(
            MESH_NAMESPACE, standard="privileged", mesh=False, labels={"topology.istio.io/network": region}
        ),
        server.namespace(MONITORING, standard="privileged", mesh=False),
    ]
    return [*found, server.namespace(EAST_WEST, gated=True)] if len(topology.regions) > 1 else found


def _provider(cell: RegionCell) -> k8s.Provider:
    """The cluster's provider. Its identifier is plain text, so that an unknown kubeconfig
    replaces nothing; the token is asked for when it is needed, and never kept.
    """
    name, aws_region = cell.cluster.physical_name, cell.region.aws_region
    control_plane = cell.cluster.cluster

    def kubeconfig(known: Mapping[str, str]) -> str:
        login = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "aws",
            "args": ["eks", "get-token", "--region", aws_region, "--cluster-name", name, "--output", "json"],
            "interactiveMode": "Never",
        }
        server_of = {"server": known["endpoint"], "certificate-authority-data": known["authority"]}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": name, "cluster": server_of}],
                "users": [{"name": name, "user": {"exec": login}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "current-context": name,
            }
        )

    authority = control_plane.certificate_authority.apply(lambda found: found.data or "")
    known = pulumi.Output.all(endpoint=control_plane.endpoint, authority=authority)
    return k8s.Provider(
        f"{cell.region.name}-cluster",
        kubeconfig=known.apply(kubeconfig),
        cluster_identifier=name,
        enable_server_side_apply=True,
        # changed in place: a pod that starts meanwhile finds it, and those that run roll by its hash
        enable_config_map_mutable=True,
        opts=pulumi.ResourceOptions(parent=cell, depends_on=[*cell.cluster.access, *cell.cluster.ready]),
    )
