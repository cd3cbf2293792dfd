"""The metrics' names, to the letter, and their values as their owners keep them."""

from __future__ import annotations

import pytest

from app.metrics import BreakerSample, CacheSample, KeySample, LagSample, Metrics, PoolSample, RequestSeries


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.concurrent_users = lambda: 20
    metrics.pools = lambda: [PoolSample(1, "us-west", "primary", 2, 10)]
    metrics.replica_lag = lambda: [LagSample(1, "eu-central", 0.25)]
    metrics.cache = lambda: CacheSample(l1_hits=7, l2_hits=2, misses=1)
    metrics.breakers = lambda: [BreakerSample("cache", "us-west", 2)]
    metrics.session_keys = lambda: [KeySample("k1", 3600)]
    metrics.cross_region_latency.labels("us-west", "ap-south").set(0.11)
    return metrics


@pytest.mark.parametrize(
    "line",
    [
        "hal9_concurrent_users 20.0",
        'hal9_db_connections_active{region="us-west",role="primary",shard="1"} 2.0',
        'hal9_db_connections_max{region="us-west",role="primary",shard="1"} 10.0',
        "hal9_cache_hits 9.0",
        "hal9_cache_requests 10.0",
        'hal9_cross_region_latency_seconds{destination="ap-south",source="us-west"} 0.11',
        'hal9_replica_lag_seconds{region="eu-central",shard="1"} 0.25',
        'hal9_breaker_state{dependency="cache",region="us-west"} 2.0',
        'hal9_session_key_age_seconds{key="k1"} 3600.0',
    ],
)
def test_each_series_has_the_specifications_name(metrics: Metrics, line: str) -> None:
    assert line in metrics.render().decode().splitlines()


def test_the_ratio_of_the_specifications_alerts_divides_like_series(metrics: Metrics) -> None:
    names = ("hal9_db_connections_active", "hal9_db_connections_max")
    lines = metrics.render().decode().splitlines()
    labels = [line.removeprefix(name).split("}")[0] for name in names for line in lines if line.startswith(name + "{")]
    assert labels[0] == labels[1]


@pytest.mark.parametrize(
    ("seconds", "bound"), [(0.05, 0.05), (0.0500001, 0.1), (0.2, 0.2), (0.5, 0.5), (9, float("inf"))]
)
def test_a_request_falls_into_the_bucket_whose_bound_it_does_not_exceed(seconds: float, bound: float) -> None:
    metrics = Metrics()
    metrics.requests.series("/a", "GET", 200).observe(seconds)
    below = {
        float(line.split('le="')[1].split('"')[0]): float(line.split()[-1])
        for line in metrics.render().decode().splitlines()
        if line.startswith("hal9_http_request_duration_seconds_bucket")
    }
    assert {edge for edge, count in below.items() if count} == {edge for edge in below if edge >= bound}


def test_series_are_by_status_class_and_remembered() -> None:
    requests = Metrics().requests
    assert requests.series("/a", "GET", 201) is requests.series("/a", "GET", 204)
    assert requests.series("/a", "GET", 404) is not requests.series("/a", "GET", 204)
    assert isinstance(requests.series("/a", "GET", 503), RequestSeries)
