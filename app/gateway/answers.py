"""nginx's answers as Prometheus' series: by status, and whether a server was asked; how long they took.

The requests that never reach a server (refused, limited, nobody there) are in no server's metrics, and are the ones
that an outage is made of. nginx says each answer over its syslog, one datagram an answer, in the format `FORMAT`.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography import x509
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app.metrics import LATENCY_BUCKETS

FORMAT = "$status $request_time $passed"
"""nginx's log format: status, seconds, and `yes` where a server was asked, else `no`."""
_LINE = re.compile(rb"([1-5][0-9]{2}) ([0-9]+\.[0-9]+) (yes|no)\s*$")
_SWITCHED = 101
"""A WebSocket: its seconds are how long it was open."""


class Answers(Collector):
    """The counts of one nginx. `certificates`: PEM files whose end is told, as it is at each scrape."""

    def __init__(self, certificates: Sequence[Path] = ()) -> None:
        self._certificates = certificates
        # Both are there from the start: a ratio of a series that does not exist yet is no number.
        self._counts: dict[tuple[int, str], int] = {(200, "yes"): 0, (503, "no"): 0}
        self._buckets = [0] * (len(LATENCY_BUCKETS) + 1)
        self._seconds = 0.0
        self._strange = 0

    def take(self, datagram: bytes) -> None:
        """One answer as nginx's syslog says it."""
        found = _LINE.search(datagram)
        if found is None:
            self._strange += 1
            return
        status, seconds = int(found[1]), float(found[2])
        key = status, found[3].decode()
        self._counts[key] = self._counts.get(key, 0) + 1
        if status != _SWITCHED:
            self._buckets[bisect.bisect_left(LATENCY_BUCKETS, seconds)] += 1
            self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """What prometheus-client asks of a collector: the counts so far."""
        total = CounterMetricFamily(
            "hal9_gateway_requests",
            "Requests that nginx answered, by status and by whether a server was asked.",
            labels=["status", "passed"],
        )
        for (status, passed), count in self._counts.items():
            total.add_metric([str(status), passed], count)
        yield total
        seen, buckets = 0, []
        for bound, count in zip((*map(repr, LATENCY_BUCKETS), "+Inf"), self._buckets, strict=True):
            seen += count
            buckets.append((bound, seen))
        yield HistogramMetricFamily(
            "hal9_gateway_request_duration_seconds",
            "From a request's first byte to its answer's last, at nginx; without WebSockets.",
            buckets=buckets,
            sum_value=self._seconds,
        )
        yield CounterMetricFamily(
            "hal9_gateway_lines_unread", "What nginx said and this could not read.", value=self._strange
        )
        ends = GaugeMetricFamily(
            "hal9_gateway_certificate_expires_seconds", "When a certificate of nginx ends, since 1970.", labels=["file"]
        )
        for path in self._certificates:
            if (end := _end(path)) is not None:
                ends.add_metric([path.name], end)
        yield ends


def _end(path: Path) -> float | None:
    """When the first certificate to end of a PEM file does; None where there is none to read (yet)."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return None
    return min(one.not_valid_after_utc.timestamp() for one in found)


def registry(answers: Answers) -> CollectorRegistry:
    """A registry with these answers alone."""
    made = CollectorRegistry()
    made.register(answers)
    return made
