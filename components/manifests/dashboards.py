"""Grafana dashboards as code: service, shards, cache and sessions, regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.manifests.alerts import AVAILABILITY, LATENCY
from components.manifests.schedule import FLOOR
from topology.topology import Topology

WIDTH, HEIGHT, ACROSS = 8, 8, 3


@dataclass(frozen=True)
class Panel:
    """A graph: title, Grafana's unit, queries by legend, and a line at the target where there is one."""

    title: str
    unit: str
    queries: dict[str, str]
    target: float | None = None
    description: str = ""


def _quantile(q: float) -> str:
    return f"histogram_quantile({q:g}, sum by (le) (rate(hal9_http_request_duration_seconds_bucket[5m])))"


def _service(topology: Topology) -> list[Panel]:
    users = topology.autoscaling.users_per_pod
    hpa = '{horizontalpodautoscaler="hal9-server-hpa"}'
    return [
        Panel("Requests", "reqps", {"{{status}}": "sum by (status) (rate(hal9_http_requests_total[5m]))"}),
        Panel("Errors", "percentunit", {"5xx": "hal9:errors:ratio_rate5m"}, 1 - AVAILABILITY),
        Panel("Latency", "s", {name: _quantile(share) for name, (share, _) in LATENCY.items()}, LATENCY["p95"][1]),
        Panel("Concurrent users", "short", {"users": "hal9:concurrent_users:sum"}, 900),
        Panel("Users a pod", "short", {"mean": "avg(hal9_concurrent_users)"}, users, "The autoscaler's target"),
        Panel(
            "Pods",
            "short",
            {
                "wanted": f"kube_horizontalpodautoscaler_status_desired_replicas{hpa}",
                "running": f"kube_horizontalpodautoscaler_status_current_replicas{hpa}",
                "ready": "sum(hal9_ready)",
                "scheduled floor": FLOOR,
            },
            topology.autoscaling.max_replicas,
        ),
        Panel("In flight", "short", {"requests": "sum(hal9_http_requests_in_flight)"}),
        Panel(
            "Refused",
            "reqps",
            {
                "429 by {{limit}}": "sum by (limit) (rate(hal9_limit_denied_total[5m]))",
                "503 by {{reason}}": "sum by (reason) (rate(hal9_shed_total[5m]))",
            },
        ),
        Panel("Event loop lag", "s", {"worst pod": "max(hal9_event_loop_lag_seconds)"}),
        Panel("Tokens refused", "reqps", {"{{reason}}": "sum by (reason) (rate(hal9_tokens_refused_total[5m]))"}),
        Panel("Connections of nginx", "short", {"{{state}}": "sum by (state) (nginx_connections)"}),
        Panel(
            "Wrong answers of Redis",
            "short",
            {"{{dependency}}": "sum by (dependency) (increase(hal9_redis_wrong_answers_total[1h]))"},
        ),
    ]


def _shards(_: Topology) -> list[Panel]:
    by = "shard, region, role"
    return [
        Panel(
            "Pool use",
            "percentunit",
            {
                "shard {{shard}} {{region}} {{role}}": f"max by ({by}) (hal9_db_connections_active / "
                "hal9_db_connections_max)"
            },
            0.9,
        ),
        Panel(
            "Connections",
            "short",
            {"shard {{shard}} {{region}} {{role}}": f"sum by ({by}) (hal9_db_connections_active)"},
        ),
        Panel(
            "Replica lag",
            "s",
            {"shard {{shard}} {{region}}": "max by (shard, region) (hal9_replica_lag_seconds)"},
            30,
        ),
        Panel(
            "Reads that passed over an instance",
            "reqps",
            {
                "shard {{shard}} {{region}} {{reason}}": "sum by (shard, region, reason) "
                "(rate(hal9_db_fallbacks_total[5m]))"
            },
        ),
        Panel(
            "Commits unknown",
            "short",
            {"shard {{shard}}": "sum by (shard) (increase(hal9_db_commits_unknown_total[1h]))"},
        ),
        Panel(
            "Refreshes of the slot map",
            "short",
            {"{{reason}}": "sum by (reason) (increase(hal9_db_map_refreshes_total[1h]))"},
        ),
    ]


def _cache(topology: Topology) -> list[Panel]:
    return [
        Panel(
            "Hit rate",
            "percentunit",
            {"hits": "sum(rate(hal9_cache_hits[5m])) / sum(rate(hal9_cache_requests[5m]))"},
            0.8,
        ),
        Panel("Hits by level", "reqps", {"{{level}}": "sum by (level) (rate(hal9_cache_level_hits_total[5m]))"}),
        Panel("Reads", "reqps", {"reads": "sum(rate(hal9_cache_requests[5m]))"}),
        Panel(
            "Session key age",
            "s",
            {"{{key}}": "max by (key) (hal9_session_key_age_seconds)"},
            topology.monitoring.session_key_days * 86_400,
        ),
        Panel("Floors lost", "short", {"lost": "sum(increase(hal9_session_floors_lost_total[1h]))"}),
        Panel(
            "Breakers",
            "short",
            {"{{dependency}} {{region}}": "max by (dependency, region) (hal9_breaker_state)"},
            description="0 closed, 1 half open, 2 open; the worst pod",
        ),
    ]


def _regions(_: Topology) -> list[Panel]:
    pair = "source, destination"
    return [
        Panel(
            "Round trip",
            "s",
            {"{{source}} to {{destination}}": f"max by ({pair}) (hal9_cross_region_latency_seconds)"},
        ),
        Panel(
            "Round trips without an answer",
            "reqps",
            {"{{source}} to {{destination}}": f"sum by ({pair}) (rate(hal9_cross_region_failures_total[5m]))"},
        ),
        Panel(
            "Requests by network",
            "reqps",
            {"{{destination_cluster}}": "sum by (destination_cluster) (rate(istio_requests_total[5m]))"},
        ),
        Panel("Nodes", "short", {"{{label_hal9_ai_capacity}}": "count by (label_hal9_ai_capacity) (kube_node_labels)"}),
    ]


def all_dashboards(topology: Topology) -> dict[str, dict[str, Any]]:
    """Every dashboard by name, in Grafana's JSON model."""
    made = {
        "service": ("HAL9 service", _service(topology)),
        "shards": ("HAL9 shards", _shards(topology)),
        "cache-and-sessions": ("HAL9 cache and sessions", _cache(topology)),
        "regions": ("HAL9 regions", _regions(topology)),
    }
    return {name: _dashboard(name, title, panels) for name, (title, panels) in made.items()}


def _dashboard(name: str, title: str, panels: list[Panel]) -> dict[str, Any]:
    return {
        "uid": f"hal9-{name}",
        "title": title,
        "tags": ["hal9"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": [_graph(number, panel) for number, panel in enumerate(panels)],
    }


def _graph(number: int, panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.target is not None:
        lines = [{"color": "transparent", "value": None}, {"color": "red", "value": panel.target}]
        defaults |= {
            "thresholds": {"mode": "absolute", "steps": lines},
            "custom": {"thresholdsStyle": {"mode": "line"}},
        }
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"x": number % ACROSS * WIDTH, "y": number // ACROSS * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expr, "legendFormat": legend}
            for index, (legend, expr) in enumerate(panel.queries.items())
        ],
    }
