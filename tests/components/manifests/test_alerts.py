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

_ANSWERS = "hal9_gateway_requests_total"
_OK, _BAD = (f'{_ANSWERS}{{status="{status}",passed="yes",pod="a"}}' for status in (200, 503))
_LATENCY = "hal9_gateway_request_duration_seconds"
_MESH = 'istio_requests_total{reporter="source",source_workload="hal9-gateway",pod="a",'
_SIGN_IN = 'hal9_http_requests_total{route="/v1/sessions",method="POST",pod="a",'
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


def _replicas(namespace: str, name: str, there: str, wanted: int) -> dict[str, str]:
    which = f'{{namespace="{namespace}",deployment="{name}"}}'
    return {
        f"kube_deployment_status_replicas_available{which}": there,
        f"kube_deployment_spec_replicas{which}": f"{wanted}x120",
    }


def _mesh(good: int, code: int, flags: str, bad: int) -> dict[str, str]:
    """Requests a minute of nginx's sidecar: answered, and refused with Envoy's flags."""
    return {
        _MESH + 'response_code="200",response_flags="-"}': f"0+{good}x40",
        _MESH + f'response_code="{code}",response_flags="{flags}"}}': f"0+{bad}x40",
    }


def _answers(**by: int) -> dict[str, str]:
    """nginx's answers a minute; `s403_no=1000` are those of 403 for which no server was asked."""
    found = {}
    for name, count in by.items():
        status, _, passed = name.removeprefix("s").partition("_")
        found[f'{_ANSWERS}{{status="{status}",passed="{passed}",pod="a"}}'] = f"0+{count}x40"
    return found


def _spot(before: int, after: int) -> dict[str, str]:
    """Spot nodes before and after the 20th minute, and pods that wait from then on."""
    gone = {
        f'kube_node_labels{{node="s{n}",label_hal9_ai_capacity="spot"}}': "1x40" if n < after else "1x19 _x20"
        for n in range(before)
    }
    return gone | {'kube_pod_status_phase{namespace="hal9",phase="Pending",pod="p"}': "0x19 1x20"}


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
    "ServerPodsMissing": (
        "10m",
        _replicas("hal9", "hal9-server", "0x40", 10),  # all pods of the region crash
        _replicas("hal9", "hal9-server", "9x40", 10),
    ),
    "GatewayPodsMissing": (
        "10m",
        _replicas("hal9-gateway", "hal9-gateway", "1x40", 3),
        _replicas("hal9-gateway", "hal9-gateway", "2x40", 3),
    ),
    "MeshRefuses": ("20m", _mesh(0, 503, "URX,UF", 1000), _mesh(1000, 503, "-", 30)),  # the app's own 503
    "EdgeSecretRefused": ("20m", _answers(s200_yes=10, s403_no=990), _answers(s200_yes=990, s403_no=10)),
    "RequestsLimited": ("20m", _answers(s200_yes=100, s429_no=900), _answers(s200_yes=990, s429_no=10)),
    "SignInFails": (
        "20m",
        {_SIGN_IN + 'status="2xx"}': "0+1x40", _SIGN_IN + 'status="5xx"}': "0+60x40"},
        {_SIGN_IN + 'status="2xx"}': "0+60x40", _SIGN_IN + 'status="4xx"}': "0+20x40"},
    ),
    "RolloutStuck": (
        "10m",
        {
            'kube_deployment_status_condition{namespace="hal9",deployment="hal9-server",'
            'condition="Progressing",status="false"}': "1x40"
        },
        {
            'kube_deployment_status_condition{namespace="hal9",deployment="hal9-server",'
            'condition="Progressing",status="false"}': "0x40"
        },
    ),
    "SessionStoreAway": (
        "10m",
        {f'hal9_breaker_state{{dependency="sessions",region="us-west",pod="{pod}"}}': "2x40" for pod in "abc"},
        {
            f'hal9_breaker_state{{dependency="sessions",region="us-west",pod="{pod}"}}': f"{2 * (pod == 'a')}x40"
            for pod in "abc"
        },
    ),
    "CacheAway": (
        "10m",
        {f'hal9_breaker_state{{dependency="cache",region="us-west",pod="{pod}"}}': "2x40" for pod in "abc"},
        {f'hal9_breaker_state{{dependency="sessions",region="us-west",pod="{pod}"}}': "2x40" for pod in "abc"},
    ),
    "ShardPrimaryAway": (
        "10m",
        {f'hal9_db_failures{{shard="1",region="eu-central",role="primary",pod="{pod}"}}': "3x40" for pod in "ab"},
        {
            'hal9_db_failures{shard="1",region="eu-central",role="primary",pod="a"}': "3x40",  # of one pod alone
            'hal9_db_failures{shard="1",region="eu-central",role="primary",pod="b"}': "0x40",
            'hal9_db_failures{shard="1",region="ap-south",role="replica",pod="b"}': "3x40",
        },
    ),
    "ShardPromoted": (
        "20m",
        {'hal9_db_promotions_total{shard="1",pod="a"}': "0x10 1x20"},
        {'hal9_db_promotions_total{shard="1",pod="a"}': "1x40"},
    ),
    "RegionUnreachable": (
        "20m",
        {'hal9_cross_region_failures_total{source="us-west",destination="eu-central",pod="a"}': "0+12x40"},
        {
            'hal9_cross_region_failures_total{source="us-west",destination="eu-central",pod="a"}': "0+1x40",
            'hal9_cross_region_latency_seconds{source="us-west",destination="eu-central",pod="b"}': "0.14x40",
        },
    ),
    "NodeAutoscalerIdle": (
        "30m",
        {'cluster_autoscaler_unschedulable_pods_count{type="unschedulable"}': "0x40"},  # scraped, and never began
        {'cluster_autoscaler_last_activity{activity="main"}': "0+60x40"},
    ),
    "PodsWithoutNode": (
        "30m",
        {'kube_pod_status_unschedulable{namespace="hal9",pod="hal9-server-1"}': "1x40"},
        {'kube_pod_status_unschedulable{namespace="hal9",pod="hal9-headroom-1"}': "1x40"},
    ),
    "SpotNodesReclaimed": ("28m", _spot(10, 4), _spot(10, 8)),
    "MetricsAdapterDown": (
        "10m",
        _replicas("monitoring", "prometheus-adapter", "0x40", 2),
        _replicas("monitoring", "prometheus-adapter", "1x40", 2),
    ),
    "IstiodMissing": ("20m", {}, {"citadel_server_cert_chain_expiry_timestamp": f"{30 * 86400}x120"}),
    "GatewayMetricsMissing": ("20m", {}, _answers(s200_yes=0)),
    "GatewayCertificateExpiresSoon": (
        "90m",
        {'hal9_gateway_certificate_expires_seconds{file="tls.crt",pod="a"}': f"{20 * 86400}x120"},
        {'hal9_gateway_certificate_expires_seconds{file="tls.crt",pod="a"}': f"{30 * 86400}x120"},
    ),
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


MISSED = {"ServerMetricsMissing", "IstiodMissing", "GatewayMetricsMissing", "NodeAutoscalerIdle"}
"""What is on because something is not there."""

INCIDENTS: dict[str, dict[str, dict[str, str]]] = {
    "the autoscaler of nodes hangs for want of a right": {"NodeAutoscalerIdle": CASES["NodeAutoscalerIdle"][1]},
    "the autoscaler of nodes stops in the middle": {
        "NodeAutoscalerIdle": {'cluster_autoscaler_last_activity{activity="main"}': "300x40"}
    },
    "all pods of a region crash": {"ServerPodsMissing": CASES["ServerPodsMissing"][1]},
    "a certificate of the mesh is refused": {"MeshRefuses": _mesh(0, 503, "UF", 1000)},
    "the mesh's authorization forbids nginx": {"MeshRefuses": _mesh(0, 403, "-", 1000)},
    "the edge's secret was rotated wrong": {"EdgeSecretRefused": _answers(s403_no=1000)},
    "the identity provider's keys are away": {"SignInFails": {_SIGN_IN + 'status="5xx"}': "0+60x40"}},
    "every log-in is a token that is refused": {"SignInFails": {_SIGN_IN + 'status="4xx"}': "0+60x40"}},
    "the session store is down": {"SessionStoreAway": CASES["SessionStoreAway"][1]},
    "the peering is cut": {"RegionUnreachable": CASES["RegionUnreachable"][1]},
    "a shard's primary is lost": {"ShardPrimaryAway": CASES["ShardPrimaryAway"][1]},
    "another instance is a primary now": {"ShardPromoted": CASES["ShardPromoted"][1]},
    "the metrics' adapter is down": {"MetricsAdapterDown": CASES["MetricsAdapterDown"][1]},
    "spot nodes are reclaimed": {"SpotNodesReclaimed": _spot(10, 2)},
    "all spot nodes are reclaimed": {"SpotNodesReclaimed": _spot(10, 0)},
    "a rollout does not get ready": {"RolloutStuck": CASES["RolloutStuck"][1]},
    "a rate limit of nginx was set wrong": {"RequestsLimited": _answers(s429_no=1000)},
    "a rate limit of the app was set wrong": {"RequestsLimited": _answers(s429_yes=1000)},
    "nginx's certificate ends": {"GatewayCertificateExpiresSoon": CASES["GatewayCertificateExpiresSoon"][1]},
    "a document is refused by the pods that start with it": {"RolloutStuck": CASES["RolloutStuck"][1]},
    "nginx answers 502 by itself": {"ErrorBudgetBurn1H": _answers(s502_yes=1000)},
    "nobody is left whom nginx could ask": {"ErrorBudgetBurn1H": _answers(s503_no=1000)},
}
"""What happened, and the alert that has to name it, from the series that it leaves. Two are told from outside:
monitoring itself (tests/components/test_heartbeat.py) and the edge (tests/components/test_edge_watch.py).
"""


@pytest.mark.parametrize("incident", INCIDENTS)
def test_an_incident_is_named(tmp_path: Path, incident: str) -> None:
    for name, series in INCIDENTS[incident].items():
        assert _firing(name, tmp_path, series, "40m" if name.startswith("ErrorBudget") else CASES[name][0])


@pytest.mark.parametrize("name", sorted(set(CASES) - MISSED))
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
        "exp_annotations": {
            "summary": summary,
            "description": description,
            "runbook_url": f"{TOPOLOGY.monitoring.runbooks}/{name}.md",
        },
    }
    assert promtool.alerts(GROUPS, tmp_path, series, "20m", {name: [expected]}) == ""


@pytest.mark.parametrize("region", ["us-west", "eu-central", "ap-south"])
def test_prometheus_takes_every_regions_rules(tmp_path: Path, region: str) -> None:
    assert promtool.check(monitoring.rule_groups(TOPOLOGY.regions[region], TOPOLOGY), tmp_path) == ""


def test_every_alert_has_a_runbook_that_speaks_of_it() -> None:
    pages = Path(__file__).parents[3] / "docs/runbooks"
    for rule in RULES.values():
        page = pages / rule["annotations"]["runbook_url"].rpartition("/")[2]
        assert page.read_text().startswith(f"# {page.stem}")


def test_an_alerts_link_opens_wherever_it_is_read() -> None:
    addresses = {rule["annotations"]["runbook_url"] for rule in RULES.values()}
    assert all(address.startswith(f"{TOPOLOGY.monitoring.runbooks}/") for address in addresses)
    assert TOPOLOGY.monitoring.runbooks is not None
    assert TOPOLOGY.monitoring.runbooks.startswith("https://")
