"""The Helm charts of every cluster: which, from where, which version, with which values, after which others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from components.manifests import (
    EAST_WEST,
    MESH_NAMESPACE,
    MONITORING,
    SYSTEM,
    Value,
    autoscaler,
    classes,
    mesh,
    pods,
    routing,
    schedule,
)
from topology import catalog
from topology.naming import CAPACITY_LABEL
from topology.settings import Region
from topology.topology import Topology

ISTIO = "https://istio-release.storage.googleapis.com/charts"
PROMETHEUS = "https://prometheus-community.github.io/helm-charts"
PROMETHEUS_URL = f"http://kube-prometheus-stack-prometheus.{MONITORING}.svc"
GRAFANA_SECRET = "grafana-admin"
ALERTMANAGER_ACCOUNT = "alertmanager"
ALERTMANAGER_GIB = 2
"""Silences, and what was already said: lost with the pod otherwise."""
ROLL_SECONDS = 1800
"""For pods that are replaced one by one behind a load
balancer: each is registered, watched, and drained for minutes.
"""
ROTATION_POLL = "10m"
"""How soon a changed secret is in the pods. The provider asks for each secret of each pod each time: at 60 s, ten
secrets and 300 pods are 4.3 million calls a day, some 20 USD.
"""


@dataclass(frozen=True)
class Chart:
    """One release. `after`: the releases whose custom resources, webhooks or APIs it
    needs; `seconds`: how long helm waits for its pods before it takes the change back.
    """

    name: str
    chart: str
    repository: str
    version: str
    namespace: str
    values: dict[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    seconds: int = 600


@dataclass(frozen=True)
class Facts:
    """What only the cloud knows: the cluster's name, its VPC, the topics of alarms and of the heartbeat, and the other
    regions' east-west gateways."""

    cluster: Value
    vpc: Value
    topic: Value
    heartbeat: Value
    gateways: Mapping[str, Value] = field(default_factory=dict)


def charts(region: Region, topology: Topology, facts: Facts) -> list[Chart]:
    """Every release of one cluster."""
    return [
        *_istio(region, topology, facts),
        *_secrets(topology),
        *_controllers(region, topology, facts),
        *_monitoring(region, topology, facts),
    ]


def _requests(cpu: str, memory: str, memory_limit: str | None = None) -> dict[str, Any]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory_limit or memory}}


def _istio(region: Region, topology: Topology, facts: Facts) -> list[Chart]:
    version = topology.charts.istio
    settings = {
        "priorityClassName": classes.PLATFORM,
        "meshID": "hal9",
        "network": region.name,
        "multiCluster": {"clusterName": region.name},
        "meshNetworks": mesh.networks(region, topology, facts.gateways),
    }
    istiod = {
        "global": settings,
        "meshConfig": mesh.mesh_config(),
        "autoscaleMin": 2,
        "autoscaleMax": 5,
        "resources": _requests("500m", "1Gi", "2Gi"),
        "cni": {"enabled": True},
        "env": {"ENABLE_NATIVE_SIDECARS": "true"},
        "affinity": {"podAntiAffinity": pods.apart("istiod")},
        "topologySpreadConstraints": pods.spread("istiod"),
    }
    # The CNI node agent sets up the pods' redirection, so that no pod of ours needs a privilege for it.
    cni = {"resources": _requests("50m", "100Mi", "200Mi")}
    found = [
        Chart("istio-base", "base", ISTIO, version, MESH_NAMESPACE, {"defaultRevision": "default"}),
        Chart("istio-cni", "cni", ISTIO, version, MESH_NAMESPACE, cni, ("istio-base",)),
        Chart("istiod", "istiod", ISTIO, version, MESH_NAMESPACE, istiod, ("istio-base", "istio-cni")),
    ]
    if len(topology.regions) > 1:
        found.append(
            Chart(EAST_WEST, "gateway", ISTIO, version, EAST_WEST, _east_west(region), ("istiod",), ROLL_SECONDS)
        )
    return found


def _east_west(region: Region) -> dict[str, Any]:
    """The values of the other regions' way in. It leaves as nginx does: behind the same kind of load balancer."""
    return {
        "labels": {"app": EAST_WEST, "istio": EAST_WEST},
        "networkGateway": region.name,
        "service": {"type": "ClusterIP"},
        "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 5},
        "podDisruptionBudget": {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
        "resources": _requests("250m", "256Mi", "1Gi"),
        # The namespace's standard asks for it, and the chart leaves it out. What this takes the place of, leave to open
        # port 80, no port here needs.
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "priorityClassName": classes.EDGE,
        "affinity": {"podAntiAffinity": pods.apart(EAST_WEST)},
        "topologySpreadConstraints": pods.spread(EAST_WEST),
        "strategy": pods.one_more_first(),
        "minReadySeconds": pods.READY_SECONDS,
        "lifecycle": {"preStop": {"sleep": {"seconds": pods.DRAIN_SECONDS}}},
        "terminationGracePeriodSeconds": pods.GRACE_SECONDS,
        "podAnnotations": {
            "proxy.istio.io/config": yaml.safe_dump({"terminationDrainDuration": f"{pods.SHUTDOWN_SECONDS}s"})
        },
    }


def _secrets(topology: Topology) -> list[Chart]:
    driver = {
        "syncSecret": {"enabled": False},
        "enableSecretRotation": True,
        "rotationPollInterval": ROTATION_POLL,
        "tokenRequests": [{"audience": catalog.POD_IDENTITY}],
    }
    provider = {"secrets-store-csi-driver": {"install": False}, "tolerations": [{"operator": "Exists"}]}
    name = "secrets-store-csi-driver"
    return [
        Chart(
            name,
            name,
            "https://kubernetes-sigs.github.io/secrets-store-csi-driver/charts",
            topology.charts.secrets_store_driver,
            SYSTEM,
            driver,
        ),
        Chart(
            f"{name}-provider-aws",
            f"{name}-provider-aws",
            "https://aws.github.io/secrets-store-csi-driver-provider-aws",
            topology.charts.secrets_store_provider,
            SYSTEM,
            provider,
            (name,),
        ),
    ]


def _controllers(region: Region, topology: Topology, facts: Facts) -> list[Chart]:
    nodes = {
        "cloudProvider": "aws",
        "awsRegion": region.aws_region,
        "autoDiscovery": {"clusterName": facts.cluster},
        "rbac": {"serviceAccount": {"create": True, "name": "cluster-autoscaler"}},
        # Spot first; on-demand grows beyond its floor only where no spot group can.
        "extraArgs": {
            "expander": "priority",
            "balance-similar-node-groups": True,
            "skip-nodes-with-system-pods": False,
            # nginx, istiod and the adapter have an emptyDir: by the default a node that one of them was on never goes.
            "skip-nodes-with-local-storage": False,
        },
        "expanderPriorities": {"50": [".*-spot-.*"], "10": [".*"]},
        "resources": _requests("100m", "300Mi", "600Mi"),
    }
    registration = {
        "clusterName": facts.cluster,
        "region": region.aws_region,
        "vpcId": facts.vpc,
        "replicaCount": 2,
        "serviceAccount": {"create": True, "name": "aws-load-balancer-controller"},
        # The load balancers are the program's: this controller registers pods and makes nothing.
        "createIngressClassResource": False,
        "enableServiceMutatorWebhook": False,
        "enableShield": False,
        "enableWaf": False,
        "enableWafv2": False,
        "resources": _requests("100m", "200Mi", "400Mi"),
    }
    metrics = {"replicas": 2, "podDisruptionBudget": {"enabled": True, "maxUnavailable": 1}}
    versions = topology.charts
    return [
        Chart(
            "metrics-server",
            "metrics-server",
            "https://kubernetes-sigs.github.io/metrics-server",
            versions.metrics_server,
            SYSTEM,
            metrics,
        ),
        Chart(
            "cluster-autoscaler",
            "cluster-autoscaler",
            catalog.CLUSTER_AUTOSCALER_CHARTS,
            versions.cluster_autoscaler,
            SYSTEM,
            nodes,
        ),
        Chart(
            "aws-load-balancer-controller",
            "aws-load-balancer-controller",
            "https://aws.github.io/eks-charts",
            versions.load_balancer_controller,
            SYSTEM,
            registration,
        ),
    ]


def _monitoring(region: Region, topology: Topology, facts: Facts) -> list[Chart]:
    settings = topology.monitoring
    everything = {
        f"{kind}SelectorNilUsesHelmValues": False for kind in ("rule", "podMonitor", "serviceMonitor", "probe")
    }
    stack = {
        "fullnameOverride": "kube-prometheus-stack",
        "prometheus": {
            "prometheusSpec": {
                "externalLabels": {"region": region.name, "stack": topology.stack},
                "retention": f"{settings.retention_days}d",
                "storageSpec": _disk(settings.storage_gib),
                "priorityClassName": classes.PLATFORM,
                "resources": _requests("500m", "2Gi", "4Gi"),
                **everything,
            }
        },
        "alertmanager": {
            "serviceAccount": {"create": True, "name": ALERTMANAGER_ACCOUNT},
            "config": routing.alertmanager(region, topology, facts.topic, facts.heartbeat),
            "alertmanagerSpec": {"storage": _disk(ALERTMANAGER_GIB), "priorityClassName": classes.PLATFORM},
        },
        "grafana": {
            "admin": {
                "existingSecret": GRAFANA_SECRET,
                "userKey": "username",
                "passwordKey": "password",
            },
            "defaultDashboardsTimezone": region.timezone,
        },
        "kube-state-metrics": {"metricLabelsAllowlist": [f"nodes=[{CAPACITY_LABEL}]"]},
        # helm makes definitions and never changes one: without this the operator of the next version meets old ones.
        "crds": {"upgradeJob": {"enabled": True, "image": {"busybox": {"tag": "1.37.0"}}}},
        # EKS runs these, out of reach.
        **{part: {"enabled": False} for part in ("kubeControllerManager", "kubeEtcd", "kubeScheduler", "kubeProxy")},
    }
    users = {
        "seriesQuery": 'hal9_concurrent_users{namespace!="",pod!=""}',
        "resources": {"overrides": {"namespace": {"resource": "namespace"}, "pod": {"resource": "pod"}}},
        "name": {"as": autoscaler.USERS_METRIC},
        "metricsQuery": "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
    }
    floor = {
        "seriesQuery": schedule.FLOOR,
        "resources": {"namespaced": False},
        "name": {"as": autoscaler.FLOOR_METRIC},
        "metricsQuery": "max(<<.Series>>)",
    }
    adapter = {
        "prometheus": {"url": PROMETHEUS_URL, "port": 9090},
        "replicas": 2,
        "rules": {"default": False, "custom": [users], "external": [floor]},
        "podDisruptionBudget": {"enabled": True, "maxUnavailable": 1},
        "priorityClassName": classes.PLATFORM,
        "resources": _requests("100m", "256Mi", "512Mi"),
    }
    name = "kube-prometheus-stack"
    return [
        Chart(name, name, PROMETHEUS, topology.charts.prometheus_stack, MONITORING, stack),
        Chart(
            "prometheus-adapter",
            "prometheus-adapter",
            PROMETHEUS,
            topology.charts.prometheus_adapter,
            MONITORING,
            adapter,
            (name,),
        ),
    ]


def _disk(gib: int) -> dict[str, Any]:
    claim = {
        "storageClassName": classes.DISK,
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{gib}Gi"}},
    }
    return {"volumeClaimTemplate": {"spec": claim}}
