"""Each alert, by promtool: firing, silent, and without data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.manifests import monitoring
from tests.components import promtool
from tests.stackfiles import DATA
from topology.load import parse

TOPOLOGY = parse("prod", DATA["prod"])
GROUPS = [g for g in monitoring.rule_groups(TOPOLOGY.regions["us-west"], TOPOLOGY) if g["name"] != "hal9_schedule"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}

pytestmark = pytest.mark.rules

_OK, _BAD = 'hal9_http_requests_total{status="2xx",pod="a"}', 'hal9_http_requests_total{status="5xx",pod="a"}'
_LATENCY = "hal9_http_request_duration_seconds"
_HPA = 'horizontalpodautoscaler="hal9-server-hpa"'


def _requests(good: int, bad: int, minutes: int) -> dict[str, str]:
    """Requests a minute that are answered and that fail."""
    return {_OK: f"0+{good}x{minutes}", _BAD: f"0+{bad}x{minutes}"}


def _fast(bound: str, within: int, every: int) -> dict[str, str]:
    return {
        f'{_LATENCY}_bucket{{le="{bound}"}}': f"0+{within}x40",
        f"{_LATENCY}_count": f"0+{every}x40",
        _OK: f"0+{every}x40",
    }


def _nodes(count: int) -> dict[str, str]:
    return {f'kube_node_labels{{node="n{n}",label_hal9_ai_capacity="on-demand"}}': "1x40" for n in range(count)} | {
        "kube_node_info": "1x40"
    }


Case = tuple[str, dict[str, str], dict[str, str]]
CASES: dict[str, Case] = {
    "HighConcurrentUsers": (
        "20m",
        {f'hal9_concurrent_users{{pod="{pod}"}}': "301x40" for pod in "abc"},
        {f'hal9_concurrent_users{{pod="{pod}"}}': "300x40" for pod in "abc"},
    ),
    "DatabaseConnectionPoolExhausted": (
        "20m",
        {
            'hal9_db_connections_active{pod="a",shard="0"}': "10x40",
            'hal9_db_connections_max{pod="a",shard="0"}': "11x40",
        },
        {
            'hal9_db_connections_active{pod="a",shard="0"}': "9x40",
            'hal9_db_connections_max{pod="a",shard="0"}': "10x40",
        },
    ),
    "CacheHitRateLow": (
        "20m",
        {'hal9_cache_hits{pod="a"}': "0+700x40", 'hal9_cache_requests{pod="a"}': "0+1000x40"},
        {'hal9_cache_hits{pod="a"}': "0+900x40", 'hal9_cache_requests{pod="a"}': "0+1000x40"},
    ),
    "RegionLatencyHigh": (
        "20m",
        {'hal9_cross_region_latency_seconds{source="us-west",destination="eu-central",pod="a"}': "0.26x40"},
        {'hal9_cross_region_latency_seconds{source="us-west",destination="eu-central",pod="a"}': "0.24x40"},
    ),
    "ErrorBudgetBurn1H": ("70m", _requests(9900, 100, 90), _requests(9999, 1, 90)),
    "ErrorBudgetBurn6H": ("380m", _requests(9960, 40, 400), _requests(9999, 1, 400)),
    "ErrorBudgetBurn3D": ("4410m", _requests(9990, 10, 150), _requests(9999, 1, 150)),
    "RequestLatencyP50": ("30m", _fast("0.05", 400, 1000), _fast("0.05", 600, 1000)),
    "RequestLatencyP95": ("30m", _fast("0.2", 940, 1000), _fast("0.2", 960, 1000)),
    "RequestLatencyP99": ("30m", _fast("0.5", 980, 1000), _fast("0.5", 995, 1000)),
    "ReplicaLagHigh": (
        "20m",
        {'hal9_replica_lag_seconds{shard="0",region="eu-central",pod="a"}': "31x40"},
        {'hal9_replica_lag_seconds{shard="0",region="eu-central",pod="a"}': "29x40"},
    ),
    "CertificateExpiresSoon": (
        "90m",
        {"citadel_server_cert_chain_expiry_timestamp": f"{20 * 86400}x120"},
        {"citadel_server_cert_chain_expiry_timestamp": f"{30 * 86400}x120"},
    ),
    "OnDemandFloorBroken": (
        "30m",
        _nodes(TOPOLOGY.cluster.on_demand.min_nodes - 1),
        _nodes(TOPOLOGY.cluster.on_demand.min_nodes),
    ),
    "AutoscalerAtMaximum": (
        "30m",
        {
            f"kube_horizontalpodautoscaler_status_desired_replicas{{{_HPA}}}": "100x40",
            f"kube_horizontalpodautoscaler_spec_max_replicas{{{_HPA}}}": "100x40",
        },
        {
            f"kube_horizontalpodautoscaler_status_desired_replicas{{{_HPA}}}": "99x40",
            f"kube_horizontalpodautoscaler_spec_max_replicas{{{_HPA}}}": "100x40",
        },
    ),
    "AutoscalerBlind": (
        "30m",
        {f'kube_horizontalpodautoscaler_status_condition{{{_HPA},condition="ScalingActive",status="false"}}': "1x40"},
        {f'kube_horizontalpodautoscaler_status_condition{{{_HPA},condition="ScalingActive",status="false"}}': "0x40"},
    ),
    "SessionKeyOld": (
        "90m",
        {'hal9_session_key_age_seconds{key="k1",pod="a"}': f"{91 * 86400}x120"},
        {'hal9_session_key_age_seconds{key="k1",pod="a"}': f"{89 * 86400}x120"},
    ),
    "CommitOutcomeUnknown": (
        "30m",
        {'hal9_db_commits_unknown_total{shard="0",pod="a"}': "0+2x40"},
        {'hal9_db_commits_unknown_total{shard="0",pod="a"}': "0x40"},
    ),
    "ServerMetricsMissing": ("20m", {}, {'hal9_ready{pod="a"}': "1x40"}),
}
"""By alert: when to look, series with which it fires, and series with which it does not though they are there."""


def _firing(name: str, folder: Path, series: dict[str, str], at: str) -> bool:
    """Whether the alert fires: promtool is told that it does not, and finds that it does."""
    group = [g for g in GROUPS if any(r.get("alert") == name for r in g["rules"]) or g["name"] == "hal9_indicators"]
    step = "30m" if name == "ErrorBudgetBurn3D" else "1m"  # three days, minute by minute, take promtool a minute too
    said = promtool.alerts(group, folder, series, at, {name: []}, step)
    assert said == "" or f"alertname: {name}" in said, said
    return said != ""


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("name", CASES)
def test_it_fires(tmp_path: Path, name: str) -> None:
    at, bad, _ = CASES[name]
    assert _firing(name, tmp_path, bad, at)


@pytest.mark.parametrize("name", CASES)
def test_it_is_silent_while_all_is_well(tmp_path: Path, name: str) -> None:
    at, _, good = CASES[name]
    assert not _firing(name, tmp_path, good, at)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"ServerMetricsMissing"}))
def test_without_data_it_is_silent(tmp_path: Path, name: str) -> None:
    assert not _firing(name, tmp_path, {}, CASES[name][0])


@pytest.mark.parametrize("name", ["CacheHitRateLow", "RequestLatencyP95", "ErrorBudgetBurn1H"])
def test_a_ratio_without_traffic_is_silent(tmp_path: Path, name: str) -> None:
    series = {
        'hal9_cache_hits{pod="a"}': "5x90",
        'hal9_cache_requests{pod="a"}': "9x90",
        f'{_LATENCY}_bucket{{le="0.2"}}': "1x90",
        f"{_LATENCY}_count": "9x90",
        _OK: "9x90",
        _BAD: "9x90",
    }
    assert not _firing(name, tmp_path, series, CASES[name][0])


@pytest.mark.parametrize(
    ("name", "series", "labels", "summary", "description"),
    [
        (
            "HighConcurrentUsers",
            CASES["HighConcurrentUsers"][1],
            {"severity": "warning", "instance": "us-west"},
            "High concurrent user count",
            "us-west has 903 concurrent users",
        ),
        (
            "CacheHitRateLow",
            CASES["CacheHitRateLow"][1],
            {"severity": "warning"},
            "Cache hit rate below threshold",
            "Cache hit rate is 70%",
        ),
    ],
)
def test_the_annotations_are_the_specifications(
    tmp_path: Path, name: str, series: dict[str, str], labels: dict[str, str], summary: str, description: str
) -> None:
    expected: dict[str, Any] = {
        "exp_labels": labels,
        "exp_annotations": {"summary": summary, "description": description, "runbook_url": f"docs/runbooks/{name}.md"},
    }
    assert promtool.alerts(GROUPS, tmp_path, series, "20m", {name: [expected]}) == ""


@pytest.mark.parametrize("region", ["us-west", "eu-central", "ap-south"])
def test_prometheus_takes_every_regions_rules(tmp_path: Path, region: str) -> None:
    assert promtool.check(monitoring.rule_groups(TOPOLOGY.regions[region], TOPOLOGY), tmp_path) == ""


def test_every_alert_has_a_runbook() -> None:
    root = Path(__file__).parents[3]
    assert [name for name, rule in RULES.items() if not (root / rule["annotations"]["runbook_url"]).is_file()] == []
