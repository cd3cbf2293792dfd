"""Prometheus' objects in one cluster: what is scraped, the rules, and the dashboards as ConfigMaps."""

from __future__ import annotations

import json
from typing import Any

from components.manifests import (
    EAST_WEST,
    GATEWAY,
    GATEWAY_NAMESPACE,
    MESH_NAMESPACE,
    MONITORING,
    NAMESPACE,
    SERVER,
    SYSTEM,
    Manifest,
    alerts,
    dashboards,
    incidents,
    metadata,
    schedule,
)
from topology import ports
from topology.settings import Region
from topology.topology import Topology

API = "monitoring.coreos.com/v1"
INTERVAL = "30s"
"""The specification's interval of the rule group, and how often pods are scraped for it."""
NODE_AUTOSCALER_PORT = 8085


def rule_groups(region: Region, topology: Topology) -> list[dict[str, Any]]:
    """The groups of the region's rules, as Prometheus' own file has them."""
    groups = {
        "hal9_scaling": alerts.specification(region, topology),
        "hal9_schedule": schedule.rules(region, topology),
        "hal9_indicators": alerts.indicators(),
        "hal9_objectives": alerts.objectives(),
        "hal9_losses": alerts.losses(topology),
        "hal9_incidents": incidents.incidents(topology),
    }
    pages = topology.monitoring.runbooks
    return [
        {"name": name, "interval": INTERVAL, "rules": alerts.linked(rules, pages) if pages else rules}
        for name, rules in groups.items()
    ]


def alert_names(region: Region, topology: Topology) -> list[str]:
    """The names of our alerts."""
    return [rule["alert"] for group in rule_groups(region, topology) for rule in group["rules"] if "alert" in rule]


def rules(region: Region, topology: Topology) -> Manifest:
    """The rules as the operator's object."""
    return {
        "apiVersion": API,
        "kind": "PrometheusRule",
        "metadata": metadata("hal9", MONITORING),
        "spec": {"groups": rule_groups(region, topology)},
    }


def _pod_monitor(name: str, namespace: str, selector: dict[str, str], *endpoints: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": API,
        "kind": "PodMonitor",
        "metadata": metadata(name, MONITORING),
        "spec": {
            "namespaceSelector": {"matchNames": [namespace]},
            "selector": {"matchLabels": selector},
            "podMetricsEndpoints": [{"interval": INTERVAL, "path": "/metrics", **one} for one in endpoints],
        },
    }


def monitors(topology: Topology) -> list[Manifest]:
    """The server, nginx, istiod, and the sidecars and gateways of the mesh."""
    sidecar = {"portNumber": ports.SIDECAR_METRICS, "path": "/stats/prometheus"}
    # What the panels need of Envoy's hundreds of series.
    sidecar["metricRelabelings"] = [
        {"sourceLabels": ["__name__"], "regex": "istio_requests_total|istio_request_duration_.*", "action": "keep"}
    ]
    found = [
        _pod_monitor(SERVER, NAMESPACE, {"app": SERVER}, {"port": "metrics"}),
        _pod_monitor(GATEWAY, GATEWAY_NAMESPACE, {"app": GATEWAY}, {"port": "health"}, {"port": "counts"}),
        _pod_monitor(f"{SERVER}-sidecar", NAMESPACE, {"app": SERVER}, sidecar),
        _pod_monitor(f"{GATEWAY}-sidecar", GATEWAY_NAMESPACE, {"app": GATEWAY}, sidecar),
        _pod_monitor(
            "cluster-autoscaler",
            SYSTEM,
            {"app.kubernetes.io/instance": "cluster-autoscaler"},
            {"portNumber": NODE_AUTOSCALER_PORT},
        ),
        _pod_monitor("istiod", MESH_NAMESPACE, {"app": "istiod"}, {"portNumber": ports.ISTIOD_METRICS}),
    ]
    if len(topology.regions) > 1:
        found.append(_pod_monitor(EAST_WEST, EAST_WEST, {"app": EAST_WEST}, sidecar))
    return found


def panels(topology: Topology) -> list[Manifest]:
    """The dashboards, each a ConfigMap that Grafana's own sidecar loads."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(f"hal9-dashboard-{name}", MONITORING, labels={"grafana_dashboard": "1"}),
            "data": {f"{name}.json": json.dumps(board, indent=2, sort_keys=True)},
        }
        for name, board in dashboards.all_dashboards(topology).items()
    ]
