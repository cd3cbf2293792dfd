"""Alerts that name what is broken: one for each incident that was once silent, beside the objectives that only say that
users are not served.

What no Prometheus of a cluster can see is told from outside: its own death by components/heartbeat.py, the edge by
components/edge_watch.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.manifests import (
    EAST_WEST,
    GATEWAY,
    GATEWAY_NAMESPACE,
    MESH_NAMESPACE,
    MONITORING,
    NAMESPACE,
    SERVER,
    classes,
)
from components.manifests.alerts import DAY_SECONDS, TRAFFIC, Rule, alert
from topology.topology import Topology

_ANSWERED = "sum(rate(hal9_gateway_requests_total[5m]))"
_SPOT = 'kube_node_labels{label_hal9_ai_capacity="spot"}'
REFUSED, LIMITED = 'status="403",passed="no"', 'status="429"'
_FROM_NGINX = f'reporter="source",source_workload="{GATEWAY}"'

SYMPTOMS: Mapping[str, tuple[str, ...]] = {
    "ServerPodsMissing": (
        "MeshRefuses",
        "ServerMetricsMissing",
        "SignInFails",
        "ErrorBudgetBurn.*",
        "RequestLatency.*",
        "AutoscalerBlind",
    ),
    "MeshRefuses": ("SignInFails", "ErrorBudgetBurn.*", "RequestLatency.*"),
    "ShardPrimaryAway": (
        "ErrorBudgetBurn.*",
        "RequestLatency.*",
        "CommitOutcomeUnknown",
        "DatabaseConnectionPoolExhausted",
        "ReplicaLagHigh",
    ),
    "SessionStoreAway": ("SignInFails", "ErrorBudgetBurn.*", "RequestLatency.*"),
    "CacheAway": ("CacheHitRateLow", "RequestLatency.*"),
    "SignInFails": ("ErrorBudgetBurn.*",),
    "RegionUnreachable": ("RegionLatencyHigh", "ReplicaLagHigh"),
    "MetricsAdapterDown": ("AutoscalerBlind",),
    "NodeAutoscalerIdle": ("PodsWithoutNode",),
}
"""By cause, the alerts that only say what follows from it (as regular expressions): not sent while the cause is."""


def incidents(topology: Topology) -> list[Rule]:
    """The rules of one region."""
    return [*_serving(), *_dependencies(topology), *_platform()]


def _share(selector: str) -> str:
    """The share of nginx's answers that this selects, where there is traffic to speak of."""
    return f"sum(rate(hal9_gateway_requests_total{{{selector}}}[5m])) / {_ANSWERED}"


def _available(namespace: str, deployment: str) -> tuple[str, str]:
    which = f'{{namespace="{namespace}",deployment="{deployment}"}}'
    return f"kube_deployment_status_replicas_available{which}", f"kube_deployment_spec_replicas{which}"


def _serving() -> list[Rule]:
    server, server_wanted = _available(NAMESPACE, SERVER)
    gateway, gateway_wanted = _available(GATEWAY_NAMESPACE, GATEWAY)
    sent = f"sum(rate(istio_requests_total{{{_FROM_NGINX}}}[5m]))"
    # UF connecting failed, UH no healthy endpoint, NR no route, NC no
    # cluster, UPE the protocol; 403: the authorization.
    refused = (
        f'(sum(rate(istio_requests_total{{{_FROM_NGINX},response_flags=~".*(UF|UH|NR|NC|UPE).*"}}[5m])) '
        "or vector(0)) + "
        f'(sum(rate(istio_requests_total{{{_FROM_NGINX},response_code="403",response_flags="-"}}[5m])) or vector(0))'
    )
    sign_in = 'hal9_http_requests_total{route="/v1/sessions",method="POST"'
    return [
        alert(
            "ServerPodsMissing",
            f"{server} < 0.5 * {server_wanted}",
            "2m",
            "critical",
            "Fewer than half of hal9-server's pods are there",
            "{{ $value }} pods are available; the other regions answer for this one",
        ),
        alert(
            "GatewayPodsMissing",
            f"{gateway} < 0.5 * {gateway_wanted}",
            "2m",
            "critical",
            "Fewer than half of nginx's pods are there",
            "{{ $value }} nginx are available; without any Route 53 takes the region out",
        ),
        alert(
            "MeshRefuses",
            f"({refused}) / {sent} > 0.01 and {sent} > {TRAFFIC}",
            "2m",
            "critical",
            "The mesh refuses requests between nginx and hal9-server",
            "{{ $value | humanizePercentage }} of nginx's requests never reached a pod: no healthy "
            "endpoint, a certificate, "
            "or an authorization",
        ),
        alert(
            "EdgeSecretRefused",
            f"{_share(REFUSED)} > 0.5 and {_ANSWERED} > {TRAFFIC}",
            "2m",
            "critical",
            "nginx does not take the edge's secret",
            "{{ $value | humanizePercentage }} of the requests are answered 403: what CloudFront shows "
            "is not what nginx "
            "knows",
        ),
        alert(
            "RequestsLimited",
            f"{_share(LIMITED)} > 0.1 and {_ANSWERED} > {TRAFFIC}",
            "5m",
            "critical",
            "A rate limit refuses users",
            "{{ $value | humanizePercentage }} of the requests are answered 429",
        ),
        alert(
            "SignInFails",
            f'sum(rate({sign_in},status=~"4xx|5xx"}}[5m])) / sum(rate({sign_in}}}[5m])) > 0.5 '
            f"and sum(rate({sign_in}}}[5m])) > 0.05",
            "5m",
            "critical",
            "Users cannot sign in",
            "{{ $value | humanizePercentage }} of the log-ins fail; those who are in notice nothing yet",
        ),
        alert(
            "RolloutStuck",
            'kube_deployment_status_condition{condition="Progressing",status="false",'
            f'namespace=~"{NAMESPACE}|{GATEWAY_NAMESPACE}|{EAST_WEST}|{MESH_NAMESPACE}|{MONITORING}"}} == 1',
            "1m",
            "critical",
            "A rollout does not come to its end",
            "{{ $labels.namespace }}/{{ $labels.deployment }}: its new pods do not become ready",
        ),
    ]


def _dependencies(topology: Topology) -> list[Rule]:
    found = [
        alert(
            name,
            f'avg by (region) (hal9_breaker_state{{dependency="{dependency}"}} == bool 2) > 0.5',
            "1m",
            severity,
            f"{what} is away",
            f"Most pods have given up on {what.lower()} of {{{{ $labels.region }}}}: {then}",
        )
        for name, dependency, severity, what, then in (
            (
                "SessionStoreAway",
                "sessions",
                "critical",
                "The session store",
                "sessions are read from the other regions",
            ),
            ("CacheAway", "cache", "warning", "The cache", "every read goes to Postgres"),
        )
    ]
    found += [
        alert(
            "ShardPrimaryAway",
            'min by (shard) (hal9_db_failures{role="primary"}) > 0',
            "1m",
            "critical",
            "A shard has no primary",
            "No pod reaches the primary of shard {{ $labels.shard }}: its users read, and cannot write",
        ),
        alert(
            "ShardPromoted",
            "max by (shard) (increase(hal9_db_promotions_total[15m])) > 0",
            "0m",
            "warning",
            "Another instance is a shard's primary",
            "Shard {{ $labels.shard }} has a new primary: the stack file and the siblings have to follow",
        ),
    ]
    if len(topology.regions) > 1:
        failing = "sum by (source, destination) (rate(hal9_cross_region_failures_total[2m])) > 0"
        found.append(
            alert(
                "RegionUnreachable",
                f"{failing} unless on (source, destination) hal9_cross_region_latency_seconds",
                "3m",
                "critical",
                "A region cannot be reached from here",
                "{{ $labels.source }} has no answer from {{ $labels.destination }}: a region is lost, or "
                "the peering is cut",
            )
        )
    return found


def _platform() -> list[Rule]:
    adapter, _ = _available(MONITORING, "prometheus-adapter")
    active = 'cluster_autoscaler_last_activity{activity="main"}'
    lost = f"count({_SPOT} offset 10m) - (count({_SPOT}) or vector(0))"
    return [
        alert(
            "NodeAutoscalerIdle",
            f"time() - max({active}) > 300 or absent({active}) == 1",
            "10m",
            "critical",
            "cluster-autoscaler does nothing",
            "No node comes or goes. It can be Running and Ready, and wait for a right that it has not",
        ),
        alert(
            "PodsWithoutNode",
            f'sum(kube_pod_status_unschedulable{{pod!~"{classes.HEADROOM}-.*"}}) > 0',
            "10m",
            "warning",
            "Pods wait for a node",
            "{{ $value }} pods have waited for longer than a new node takes",
        ),
        alert(
            "SpotNodesReclaimed",
            f"({lost}) / count({_SPOT} offset 10m) > 0.3 "
            f'and on () sum(kube_pod_status_phase{{namespace="{NAMESPACE}",phase="Pending"}}) > 0',
            "1m",
            "warning",
            "Spot nodes are being taken back",
            "{{ $value | humanizePercentage }} of the spot nodes of ten minutes ago are gone, and pods wait",
        ),
        alert(
            "MetricsAdapterDown",
            f"{adapter} == 0",
            "5m",
            "critical",
            "prometheus-adapter is away",
            "The autoscaler sees neither users nor the time of day",
        ),
        alert(
            "IstiodMissing",
            "absent(citadel_server_cert_chain_expiry_timestamp)",
            "10m",
            "critical",
            "No istiod is scraped",
            "Without istiod no pod gets a certificate or hears of another's end",
        ),
        alert(
            "GatewayMetricsMissing",
            "absent(hal9_gateway_requests_total)",
            "5m",
            "critical",
            "Nobody counts nginx's answers",
            "The objectives are measured by them: no error budget is watched while this is on",
        ),
        alert(
            "GatewayCertificateExpiresSoon",
            f"min by (file) (hal9_gateway_certificate_expires_seconds) - time() < {21 * DAY_SECONDS}",
            "1h",
            "critical",
            "A certificate of nginx ends soon",
            "{{ $labels.file }} ends in {{ $value | humanizeDuration }}; then the regions cannot relay to each other",
        ),
    ]
