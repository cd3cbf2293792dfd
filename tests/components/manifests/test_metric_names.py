"""Every metric that a rule or a panel names is exported by someone: ours by the app, the others by whom we say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import generate_latest

from app.gateway.answers import Answers, registry
from app.metrics import BreakerSample, CacheSample, KeySample, LagSample, Metrics, PoolSample
from components.manifests import autoscaler, charts, dashboards, monitoring
from tests.stackfiles import DATA
from topology.load import parse

TOPOLOGY = parse("prod", DATA["prod"])
OTHERS = {
    "kube_node_labels": "kube-state-metrics",
    "kube_node_info": "kube-state-metrics",
    "kube_horizontalpodautoscaler_status_desired_replicas": "kube-state-metrics",
    "kube_horizontalpodautoscaler_status_current_replicas": "kube-state-metrics",
    "kube_horizontalpodautoscaler_spec_max_replicas": "kube-state-metrics",
    "kube_horizontalpodautoscaler_status_condition": "kube-state-metrics",
    "kube_deployment_status_replicas_available": "kube-state-metrics",
    "kube_deployment_spec_replicas": "kube-state-metrics",
    "kube_deployment_status_condition": "kube-state-metrics",
    "kube_pod_status_phase": "kube-state-metrics",
    "kube_pod_status_unschedulable": "kube-state-metrics",
    "cluster_autoscaler_last_activity": "cluster-autoscaler",
    "citadel_server_cert_chain_expiry_timestamp": "istiod",
    "istio_requests_total": "the mesh's sidecars",
    "nginx_connections": "nginx's /metrics (components/manifests/templates/nginx)",
}


def _exported() -> set[str]:
    """The app's own exposition, with one sample of everything that has labels, and that of nginx's answers."""
    metrics = Metrics()
    metrics.pools = lambda: [PoolSample(0, "us-west", "primary", 1, 2)]
    metrics.replica_lag = lambda: [LagSample(0, "us-west", 0.1)]
    metrics.cache = lambda: CacheSample(1, 1, 1)
    metrics.breakers = lambda: [BreakerSample("postgres", "us-west", 0)]
    metrics.session_keys = lambda: [KeySample("k1", 1.0)]
    metrics.requests.series("/v1/items", "GET", 200).observe(0.01)
    text = metrics.render().decode() + generate_latest(registry(Answers())).decode()
    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    histograms = set(re.findall(r"^# TYPE (\S+) histogram", text, re.MULTILINE))
    return names | {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}


def _expressions() -> Iterator[str]:
    for group in monitoring.rule_groups(TOPOLOGY.regions["us-west"], TOPOLOGY):
        yield from (str(rule["expr"]) for rule in group["rules"])
    for board in dashboards.all_dashboards(TOPOLOGY).values():
        yield from (target["expr"] for panel in board["panels"] for target in panel["targets"])
    for chart in charts.charts(
        TOPOLOGY.regions["us-west"], TOPOLOGY, charts.Facts("c", "v", "t", "h", {"eu-central": "e", "ap-south": "a"})
    ):
        if chart.name == "prometheus-adapter":
            rules = chart.values["rules"]
            yield from (rule["seriesQuery"] for kind in ("custom", "external") for rule in rules[kind])


def _named() -> set[str]:
    found: set[str] = set()
    for text in _expressions():
        bare = re.sub(r'"[^"]*"', "", text)
        found |= set(re.findall(r"\b(?:hal9|kube|istio|citadel|nginx|cluster_autoscaler)[a-zA-Z0-9_:]*", bare))
    return found


def _recorded() -> set[str]:
    groups = monitoring.rule_groups(TOPOLOGY.regions["us-west"], TOPOLOGY)
    return {str(rule["record"]) for group in groups for rule in group["rules"] if "record" in rule}


def test_every_metric_of_a_rule_or_panel_is_exported() -> None:
    assert _named() - _recorded() - _exported() - OTHERS.keys() == set()


def test_no_metric_of_another_is_listed_in_vain() -> None:
    assert OTHERS.keys() - _named() == set()


def test_the_autoscalers_metrics_are_what_the_adapter_serves() -> None:
    facts = charts.Facts("c", "v", "t", "h", {"eu-central": "e", "ap-south": "a"})
    adapter = next(
        c for c in charts.charts(TOPOLOGY.regions["us-west"], TOPOLOGY, facts) if c.name == "prometheus-adapter"
    )
    served = {rule["name"]["as"] for kind in ("custom", "external") for rule in adapter.values["rules"][kind]}
    asked = {
        metric[kind]["metric"]["name"]
        for metric in autoscaler.autoscaler(TOPOLOGY)["spec"]["metrics"]
        for kind in ("pods", "external")
        if kind in metric
    }
    assert served == asked
