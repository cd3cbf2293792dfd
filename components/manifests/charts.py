"""The Helm charts of every cluster: which, from where, which version, with which values, after which others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.manifests import (
    EAST_WEST,
    MESH_NAMESPACE,
    MONITORING,
    SYSTEM,
    Value,
    autoscaler,
    mesh,
    schedule,
)
from topology.naming import CAPACITY_LABEL
from topology.settings import Region
from topology.topology import Topology

ISTIO = "https://istio-release.storage.googleapis.com/charts"
PROMETHEUS = "https://prometheus-community.github.io/helm-charts"
PROMETHEUS_URL = f"http://kube-prometheus-stack-prometheus.{MONITORING}.svc"
GRAFANA_SECRET = "grafana-admin"
ALERTMANAGER_ACCOUNT = "alertmanager"
POD_IDENTITY = "pods.eks.amazonaws.com"


@dataclass(frozen=True)
class Chart:
    """One release. `after`: the releases whose custom resources, webhooks or APIs it needs."""

    name: str
    chart: str
    repository: str
    version: str
    namespace: str
    values: dict[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What only the cloud knows: the cluster's name, its VPC, the alarm topic, and the other regions' east-west gateways."""

    cluster: Value
    vpc: Value
    topic: Value
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
    }
    # The CNI node agent sets up the pods' redirection, so that no pod of ours needs a privilege for it.
    cni = {"resources": _requests("50m", "100Mi", "200Mi")}
    found = [
        Chart("istio-base", "base", ISTIO, version, MESH_NAMESPACE, {"defaultRevision": "default"}),
        Chart("istio-cni", "cni", ISTIO, version, MESH_NAMESPACE, cni, ("istio-base",)),
        Chart("istiod", "istiod", ISTIO, version, MESH_NAMESPACE, istiod, ("istio-base", "istio-cni")),
    ]
    if len(topology.regions) > 1:
        values = {
            "labels": {"app": EAST_WEST, "istio": EAST_WEST},
            "networkGateway": region.name,
            "service": {"type": "ClusterIP"},
            "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 5},
            "podDisruptionBudget": {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
            "resources": _requests("250m", "256Mi", "1Gi"),
        }
        found.append(Chart(EAST_WEST, "gateway", ISTIO, version, EAST_WEST, values, ("istiod",)))
    return found


def _secrets(topology: Topology) -> list[Chart]:
    driver = {
        "syncSecret": {"enabled": False},
        "enableSecretRotation": True,
        "rotationPollInterval": "60s",
        "tokenRequests": [{"audience": POD_IDENTITY}],
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
        "image": {"tag": f"v{topology.cluster.version}.0"},
        "rbac": {"serviceAccount": {"create": True, "name": "cluster-autoscaler"}},
        # Spot first; on-demand grows beyond its floor only where no spot group can.
        "extraArgs": {
            "expander": "priority",
            "balance-similar-node-groups": True,
            "skip-nodes-with-system-pods": False,
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
            "https://kubernetes.github.io/autoscaler",
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
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{settings.storage_gib}Gi"}}}
    everything = {
        f"{kind}SelectorNilUsesHelmValues": False for kind in ("rule", "podMonitor", "serviceMonitor", "probe")
    }
    stack = {
        "fullnameOverride": "kube-prometheus-stack",
        "prometheus": {
            "prometheusSpec": {
                "externalLabels": {"region": region.name, "stack": topology.stack},
                "retention": f"{settings.retention_days}d",
                "storageSpec": {"volumeClaimTemplate": {"spec": claim}},
                "resources": _requests("500m", "2Gi", "4Gi"),
                **everything,
            }
        },
        "alertmanager": {
            "serviceAccount": {"create": True, "name": ALERTMANAGER_ACCOUNT},
            "config": _alertmanager(region, facts.topic),
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


def _alertmanager(region: Region, topic: Value) -> dict[str, Any]:
    """Alerts go where the alarms go: the region's topic. What always fires (Watchdog) goes nowhere."""
    topic_of = {"topic_arn": topic, "sigv4": {"region": region.aws_region}, "send_resolved": True}
    routes = [{"receiver": "nowhere", "matchers": ['alertname=~"Watchdog|InfoInhibitor"']}]
    return {
        "route": {
            "receiver": "operators",
            "group_by": ["alertname", "severity"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": routes,
        },
        "receivers": [{"name": "nowhere"}, {"name": "operators", "sns_configs": [topic_of]}],
    }
