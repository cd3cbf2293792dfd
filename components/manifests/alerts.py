"""The alerts of one region's Prometheus: the specification's four, the error budget, and what loses data or money.

Every Prometheus sees its own region. The specification's annotations speak of `$labels.instance`: where many pods are
summed into one number, that is the region.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from topology.settings import Region
from topology.topology import Topology

Rule = dict[str, Any]

AVAILABILITY = 0.9995
BUDGET = 1 - AVAILABILITY
"""The error budget of the specification's 99.95%: 0.0005 of all requests."""
LATENCY = {"p50": (0.5, 0.05), "p95": (0.95, 0.2), "p99": (0.99, 0.5)}
"""The specification's latency targets: share of requests, seconds. Each bound is a bucket of the app's histogram."""
TRAFFIC = 1
"""Requests a second below which a ratio says nothing: one slow request would be an alert."""
RUNBOOKS = "docs/runbooks"
"""Where the runbooks are in this repository; `linked` makes addresses of it."""
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Burn:
    """One row of the SRE workbook's table: alert when the budget burns `factor` times too fast in both windows."""

    factor: float
    long: str
    short: str
    severity: str


BURNS = (Burn(14.4, "1h", "5m", "critical"), Burn(6, "6h", "30m", "critical"), Burn(1, "3d", "6h", "warning"))
"""SRE workbook, "Alerting on SLOs", table 5-8."""
WINDOWS = ("5m", "30m", "1h", "6h", "3d")


def alert(
    name: str, expr: str, hold: str, severity: str, summary: str, description: str, runbook: str | None = None
) -> Rule:
    """An alerting rule; `runbook` is the page's name where several alerts share one."""
    return {
        "alert": name,
        "expr": expr,
        "for": hold,
        "labels": {"severity": severity},
        "annotations": {
            "summary": summary,
            "description": description,
            "runbook_url": f"{RUNBOOKS}/{runbook or name}.md",
        },
    }


def specification(region: Region, topology: Topology) -> list[Rule]:
    """The group `hal9_scaling`: names, thresholds, durations, severities and annotations are the specification's."""
    everyone = f'label_replace(sum(hal9_concurrent_users), "instance", "{region.name}", "", "")'
    hits, asked = "sum(rate(hal9_cache_hits[5m]))", "sum(rate(hal9_cache_requests[5m]))"
    latency = "max by (source, destination) (hal9_cross_region_latency_seconds)"
    return [
        *(
            {
                "record": "hal9:cross_region_distance:seconds",
                "expr": f"vector({_distance(topology, region.name, other.name):g})",
                "labels": {"source": region.name, "destination": other.name},
            }
            for other in topology.others(region.name)
        ),
        alert(
            "HighConcurrentUsers",
            f"{everyone} > 900",
            "5m",
            "warning",
            "High concurrent user count",
            "{{ $labels.instance }} has {{ $value }} concurrent users",
        ),
        alert(
            "DatabaseConnectionPoolExhausted",
            "hal9_db_connections_active / hal9_db_connections_max > 0.9",
            "2m",
            "critical",
            "Database connection pool nearly exhausted",
            "{{ $labels.instance }} pool usage at {{ $value | humanizePercentage }}",
        ),
        alert(
            "CacheHitRateLow",
            f"{hits} / {asked} < 0.8 and {asked} > {TRAFFIC}",
            "5m",
            "warning",
            "Cache hit rate below threshold",
            "Cache hit rate is {{ $value | humanizePercentage }}",
        ),
        alert(
            "RegionLatencyHigh",
            f"{latency} - on (source, destination) hal9:cross_region_distance:seconds > 0.1",
            "5m",
            "warning",
            "High cross-region latency",
            "Latency between {{ $labels.source }} and {{ $labels.destination }} is {{ $value }}s",
        ),
    ]


def _distance(topology: Topology, source: str, destination: str) -> float:
    known = topology.monitoring.distance_seconds
    return known.get(f"{source} {destination}", known.get(f"{destination} {source}", 0.0))


def linked(rules: list[Rule], address: str) -> list[Rule]:
    """The rules with the address of each runbook's page, which opens wherever the alert is read."""
    return [
        rule
        if "annotations" not in rule
        else {
            **rule,
            "annotations": {
                **rule["annotations"],
                "runbook_url": rule["annotations"]["runbook_url"].replace(RUNBOOKS, address.rstrip("/"), 1),
            },
        }
        for rule in rules
    ]


def indicators() -> list[Rule]:
    """Recording rules: request and error rates and the share of fast requests, over each window that an alert asks for.

    They are nginx's answers, as users get them: what the mesh or nginx itself refuses is in no server's numbers.
    """
    found: list[Rule] = [
        {"record": "hal9:requests:rate5m", "expr": "sum(rate(hal9_gateway_requests_total[5m]))"},
        {"record": "hal9:concurrent_users:sum", "expr": "sum(hal9_concurrent_users)"},
    ]
    for window in WINDOWS:
        every = f"sum(rate(hal9_gateway_requests_total[{window}]))"
        failed = f'(sum(rate(hal9_gateway_requests_total{{status=~"5.."}}[{window}])) or vector(0))'
        found.append({"record": f"hal9:errors:ratio_rate{window}", "expr": f"{failed} / {every}"})
    for name, (_, bound) in LATENCY.items():
        fast = f'sum(rate(hal9_gateway_request_duration_seconds_bucket{{le="{bound!r}"}}[5m]))'
        every = "sum(rate(hal9_gateway_request_duration_seconds_count[5m]))"
        found.append({"record": f"hal9:requests_within_{name}:ratio_rate5m", "expr": f"{fast} / {every}"})
    return found


def objectives() -> list[Rule]:
    """Error-budget burn in two windows each, and the latency targets."""
    found = [
        alert(
            f"ErrorBudgetBurn{burn.long.upper()}",
            f"hal9:errors:ratio_rate{burn.long} > {burn.factor * BUDGET:.4g} "
            f"and hal9:errors:ratio_rate{burn.short} > {burn.factor * BUDGET:.4g}",
            "2m" if burn.severity == "critical" else "15m",
            burn.severity,
            f"Error budget burns {burn.factor:g} times too fast",
            f"{{{{ $value | humanizePercentage }}}} of the requests of the last {burn.long} failed; 99.95% must not",
            "ErrorBudgetBurn",
        )
        for burn in BURNS
    ]
    found += [
        alert(
            f"RequestLatency{name.upper()}",
            f"hal9:requests_within_{name}:ratio_rate5m < {share:g} and hal9:requests:rate5m > {TRAFFIC}",
            "10m",
            "warning",
            f"Request latency {name} above {bound * 1000:g} ms",
            f"Only {{{{ $value | humanizePercentage }}}} of the requests are answered within {bound:g} s",
            "RequestLatency",
        )
        for name, (share, bound) in LATENCY.items()
    ]
    return found


def losses(topology: Topology) -> list[Rule]:
    """What loses data or money if nobody looks."""
    scaling, days = topology.autoscaling, topology.monitoring.session_key_days
    on_demand = topology.cluster.on_demand.min_nodes
    hpa = '{horizontalpodautoscaler="hal9-server-hpa"}'
    certificate = "min(citadel_server_cert_chain_expiry_timestamp) - time()"
    return [
        alert(
            "ReplicaLagHigh",
            "max by (shard, region) (hal9_replica_lag_seconds) > 30",
            "5m",
            "critical",
            "A read replica is far behind its primary",
            "The replica of shard {{ $labels.shard }} in {{ $labels.region }} is {{ $value }} s behind: "
            "what it misses is lost if the primary is",
        ),
        alert(
            "CertificateExpiresSoon",
            f"{certificate} < {21 * DAY_SECONDS}",
            "1h",
            "critical",
            "The mesh's certificate authority ends soon",
            "It ends in {{ $value | humanizeDuration }}; then no pod can talk to another",
        ),
        alert(
            "OnDemandFloorBroken",
            f'count(kube_node_labels{{label_hal9_ai_capacity="on-demand"}}) < {on_demand} '
            f'or absent(kube_node_labels{{label_hal9_ai_capacity="on-demand"}}) == 1 and on () '
            "count(kube_node_info) > 0",
            "15m",
            "critical",
            "Fewer on-demand nodes than the floor",
            f"A reclaim of all spot nodes would now leave fewer than {scaling.min_replicas} pods",
        ),
        alert(
            "AutoscalerAtMaximum",
            f"kube_horizontalpodautoscaler_status_desired_replicas{hpa} "
            f">= kube_horizontalpodautoscaler_spec_max_replicas{hpa}",
            "15m",
            "warning",
            "The autoscaler is at its maximum",
            "{{ $value }} pods are asked for, which is all that it may: more load is more latency",
        ),
        alert(
            "AutoscalerBlind",
            'kube_horizontalpodautoscaler_status_condition{horizontalpodautoscaler="hal9-server-hpa",'
            'condition="ScalingActive",status="false"} == 1',
            "15m",
            "critical",
            "The autoscaler cannot read a metric",
            "It no longer scales down, and up only by what it still sees",
        ),
        alert(
            "SessionKeyOld",
            f"max by (key) (hal9_session_key_age_seconds) > {days * DAY_SECONDS}",
            "1h",
            "warning",
            "A session key is due for rotation",
            f"Key {{{{ $labels.key }}}} encrypts since {{{{ $value | humanizeDuration }}}}; {days} days is the plan",
        ),
        alert(
            "CommitOutcomeUnknown",
            "sum by (shard) (increase(hal9_db_commits_unknown_total[10m])) > 10",
            "5m",
            "warning",
            "Connections are lost at COMMIT",
            "{{ $value }} commits of shard {{ $labels.shard }} in 10 minutes had to be asked for again by their key",
        ),
        alert(
            "ServerMetricsMissing",
            "absent(hal9_ready)",
            "5m",
            "critical",
            "No pod of hal9-server is scraped",
            "Every other alert is blind while this one is on",
        ),
    ]
