"""The round trip from this region to each other one, measured where the app's own traffic goes.

A TCP handshake is one round trip and asks nothing of the server behind it but its backlog: no account, no TLS, no
command. The other region's session store is where a log-out is sent, so its address is reachable from here. The
smallest of a few handshakes is the network's share; what is above it is the two machines' own business.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from app.deployment import Deployment, Endpoint
from app.metrics import Metrics

INTERVAL_SECONDS = 10.0
HANDSHAKES = 3
TIMEOUT_SECONDS = 2.0


async def round_trip(endpoint: Endpoint) -> float:
    """Seconds of the fastest of `HANDSHAKES` TCP handshakes. Raises OSError, TimeoutError."""
    loop = asyncio.get_running_loop()
    fastest = float("inf")
    for _ in range(HANDSHAKES):
        begun = time.perf_counter()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            transport, _protocol = await loop.create_connection(asyncio.Protocol, endpoint.host, endpoint.port)
        fastest = min(fastest, time.perf_counter() - begun)
        transport.close()
    return fastest


class CrossRegionLatency:
    """Keeps `hal9_cross_region_latency_seconds` for every other region of the document."""

    def __init__(self, document: Deployment, metrics: Metrics, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._source = document.region
        self._targets = {
            region.name: region.sessions.primary for region in document.regions if region.name != document.region
        }
        self._metrics = metrics
        self._interval_seconds = interval_seconds

    async def watch(self) -> None:
        """Measure until cancelled, all regions at once."""
        while True:
            await asyncio.gather(*(self.measure(region) for region in self._targets))
            await asyncio.sleep(self._interval_seconds)

    async def measure(self, region: str) -> None:
        """Measure one region. One that does not answer has no latency: its series ends and a failure is counted."""
        labels = (self._source, region)
        try:
            seconds = await round_trip(self._targets[region])
        except (OSError, TimeoutError):
            self._metrics.cross_region_failures.labels(*labels).inc()
            with contextlib.suppress(KeyError):
                self._metrics.cross_region_latency.remove(*labels)
            return
        self._metrics.cross_region_latency.labels(*labels).set(seconds)
