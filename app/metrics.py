"""Every Prometheus metric of the app, defined in one place.

The specification's names are kept to the letter: `hal9_concurrent_users`, `hal9_db_connections_active`,
`hal9_db_connections_max`, `hal9_cache_hits`, `hal9_cache_requests` (no `_total`) and
`hal9_cross_region_latency_seconds{source,destination}`. prometheus-client adds `_total` to whatever it calls a
counter, so the two cache series are exposed without a type; `rate()` works on them all the same.

Two ways in. What happens now and then is a counter of prometheus-client, incremented where it happens. What
happens in every request, or has a value at any moment, is kept by its owner as plain numbers and read when
Prometheus scrapes: `requests` below, and the sources given to `Metrics` (pools, cache, breakers, keyring).
One process serves one registry: a container runs one process.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds. 0.05, 0.2 and 0.5 are the specification's p50, p95 and p99 targets."""


class PoolSample(msgspec.Struct, frozen=True):
    """One pool at one moment: `active` connections lent out of at most `max`, and its instance's failures in a row."""

    shard: int
    region: str
    role: str
    active: int
    max: int
    failures: int = 0


class LagSample(msgspec.Struct, frozen=True):
    """How far a replica is behind its shard's primary, in seconds; infinity where it is unknown."""

    shard: int
    region: str
    seconds: float


class CacheSample(msgspec.Struct, frozen=True):
    """What the two cache levels answered since the process started."""

    l1_hits: int
    l2_hits: int
    misses: int
    unreadable: int = 0


class BreakerSample(msgspec.Struct, frozen=True):
    """A breaker's state (0 closed, 1 half open, 2 open), and how many answers were errors (`wrong`)."""

    dependency: str
    region: str
    state: int
    wrong: int = 0


class KeySample(msgspec.Struct, frozen=True):
    """Seconds since this session key became the one that encrypts."""

    key: str
    age_seconds: float


class RequestSeries:
    """Requests of one route, method and status class: a histogram of plain integers, 0.3 us an observation."""

    __slots__ = ("counts", "total_seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BUCKETS) + 1)
        self.total_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one request that took this long."""
        self.counts[bisect.bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.total_seconds += seconds


class RequestStats(Collector):
    """Requests and their latency by route, method and status class (`2xx`), kept without locks on the event loop.

    Routes are the templates of the routing table, never paths, so that a client cannot make series.
    """

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, int], RequestSeries] = {}
        self.in_flight = 0

    def series(self, route: str, method: str, status: int) -> RequestSeries:
        """The series that a request of this route, method and status belongs to."""
        key = (route, method, status // 100)
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = RequestSeries()
        return found

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client asks of a collector: the counts so far."""
        labels = ["route", "method", "status"]
        total = CounterMetricFamily(
            "hal9_http_requests", "Requests answered, by route and status class.", labels=labels
        )
        latency = HistogramMetricFamily(
            "hal9_http_request_duration_seconds", "From the request's head to its answer, by route.", labels=labels
        )
        for (route, method, status_class), series in self._series.items():
            values = [route, method, f"{status_class}xx"]
            buckets: list[tuple[str, float]] = []
            seen = 0
            for bound, count in zip((*LATENCY_BUCKETS, float("inf")), series.counts, strict=True):
                seen += count
                buckets.append(("+Inf" if bound == float("inf") else repr(bound), seen))
            total.add_metric(values, seen)
            latency.add_metric(values, buckets, series.total_seconds)
        yield total
        yield latency
        yield GaugeMetricFamily("hal9_http_requests_in_flight", "Requests being answered now.", value=self.in_flight)


class _Sources(Collector):
    """What other parts keep as plain numbers, read at each scrape."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client asks of a collector: the counts so far."""
        yield from self._pools()
        yield from self._cache()
        yield GaugeMetricFamily(
            "hal9_concurrent_users",
            "This process's share of the region's users (a request in the last minute, or an open "
            "WebSocket): they add up.",
            value=self._metrics.concurrent_users(),
        )
        breakers = GaugeMetricFamily(
            "hal9_breaker_state", "0 closed, 1 half open, 2 open.", labels=["dependency", "region"]
        )
        wrong = CounterMetricFamily(
            "hal9_redis_wrong_answers",
            "Answers of Redis that are errors: a script or a setting of ours is wrong.",
            labels=["dependency", "region"],
        )
        for breaker in self._metrics.breakers():
            breakers.add_metric([breaker.dependency, breaker.region], breaker.state)
            wrong.add_metric([breaker.dependency, breaker.region], breaker.wrong)
        yield breakers
        yield wrong
        keys = GaugeMetricFamily(
            "hal9_session_key_age_seconds", "Since this session key became the one that encrypts.", labels=["key"]
        )
        for key in self._metrics.session_keys():
            keys.add_metric([key.key], key.age_seconds)
        yield keys

    def _pools(self) -> Iterator[Metric]:
        labels = ["shard", "region", "role"]
        active = GaugeMetricFamily("hal9_db_connections_active", "Connections lent out by this pool.", labels=labels)
        limit = GaugeMetricFamily("hal9_db_connections_max", "Connections this pool may open.", labels=labels)
        failures = GaugeMetricFamily(
            "hal9_db_failures", "Failures in a row to reach this instance; 0 while it is reached.", labels=labels
        )
        for pool in self._metrics.pools():
            values = [str(pool.shard), pool.region, pool.role]
            active.add_metric(values, pool.active)
            limit.add_metric(values, pool.max)
            failures.add_metric(values, pool.failures)
        yield active
        yield limit
        yield failures
        lag = GaugeMetricFamily(
            "hal9_replica_lag_seconds", "How far a replica is behind its primary.", labels=["shard", "region"]
        )
        for sample in self._metrics.replica_lag():
            lag.add_metric([str(sample.shard), sample.region], sample.seconds)
        yield lag

    def _cache(self) -> Iterator[Metric]:
        cache = self._metrics.cache()
        hits = cache.l1_hits + cache.l2_hits
        yield UnknownMetricFamily("hal9_cache_hits", "Reads that either cache level answered.", value=hits)
        yield UnknownMetricFamily("hal9_cache_requests", "Reads asked of the cache.", value=hits + cache.misses)
        levels = CounterMetricFamily("hal9_cache_level_hits", "Reads answered, by level.", labels=["level"])
        levels.add_metric(["l1"], cache.l1_hits)
        levels.add_metric(["l2"], cache.l2_hits)
        yield levels
        yield CounterMetricFamily(
            "hal9_cache_unreadable",
            "Records in L2 that could not be read, and were a miss: of another version of the app, or broken.",
            value=cache.unreadable,
        )


class Metrics:
    """The registry of one process, and the only place where a metric of the app gets its name."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = RequestStats()

        self.concurrent_users: Callable[[], float] = lambda: 0
        self.pools: Callable[[], Iterable[PoolSample]] = lambda: ()
        self.replica_lag: Callable[[], Iterable[LagSample]] = lambda: ()
        self.cache: Callable[[], CacheSample] = lambda: CacheSample(0, 0, 0)
        self.breakers: Callable[[], Iterable[BreakerSample]] = lambda: ()
        self.session_keys: Callable[[], Iterable[KeySample]] = lambda: ()

        self.cross_region_latency = Gauge(
            "hal9_cross_region_latency_seconds",
            "Round trip to the other region, as this process measured it last.",
            ["source", "destination"],
            registry=registry,
        )
        self.cross_region_failures = Counter(
            "hal9_cross_region_failures_total",
            "Round trips to the other region that found nobody in time.",
            ["source", "destination"],
            registry=registry,
        )
        self.limit_denied = Counter(
            "hal9_limit_denied_total", "Requests answered 429, by whose limit it was.", ["limit"], registry=registry
        )
        self.shed = Counter(
            "hal9_shed_total", "Requests answered 503 before they queued.", ["reason"], registry=registry
        )
        self.floors_lost = Counter(
            "hal9_session_floors_lost_total",
            "Commits whose read-your-writes floor could not be kept in the session.",
            registry=registry,
        )
        self.sessions_refused = Counter(
            "hal9_sessions_refused_total",
            "Stored sessions that could not be opened (their users log in again), by reason.",
            ["reason"],
            registry=registry,
        )
        self.session_migrations = Counter(
            "hal9_session_migrations_total",
            "Sessions that followed their users to another region.",
            ["source", "destination"],
            registry=registry,
        )
        self.redis_unfit = Counter(
            "hal9_redis_unfit_answers_total",
            "Answers by which a Redis server says that it does not serve, by first word: READONLY, LOADING, OOM, ...",
            ["store", "region", "word"],
            registry=registry,
        )
        self.tokens_refused = Counter(
            "hal9_tokens_refused_total", "Bearer tokens refused, by reason.", ["reason"], registry=registry
        )
        self.db_fallbacks = Counter(
            "hal9_db_fallbacks_total",
            "Reads that passed over an instance: it was behind the floor, unreachable, or no longer the owner.",
            ["shard", "region", "reason"],
            registry=registry,
        )
        self.db_map_refreshes = Counter(
            "hal9_db_map_refreshes_total",
            "Refreshes of the slot map from Postgres: periodic, or because a write found another epoch.",
            ["reason"],
            registry=registry,
        )
        self.db_commits_unknown = Counter(
            "hal9_db_commits_unknown_total",
            "Commits whose connection was lost before the answer; retried under their idempotency key.",
            ["shard"],
            registry=registry,
        )
        self.db_promotions = Counter(
            "hal9_db_promotions_total",
            "Times that this process found another instance to be a shard's primary.",
            ["shard"],
            registry=registry,
        )
        self.loop_lag = Gauge(
            "hal9_event_loop_lag_seconds", "How late the event loop runs what is due.", registry=registry
        )
        self.ready = Gauge("hal9_ready", "1 while /readyz answers 200.", registry=registry)

        registry.register(self.requests)
        registry.register(_Sources(self))
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)

    def render(self) -> bytes:
        """The exposition, text format 0.0.4 (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)
