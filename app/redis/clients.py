"""Connections to Redis: each region's cache and session store, and this region's copies of the others' stores.

Times are short and nothing is retried behind the caller's back: a breaker stands above each client, and a retry
below it would multiply the load on a server that is already late. What was certainly not done is the
exception: a cluster's redirections are followed, and a write that a replica refused goes once more to the primary.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from app.databases.connect import tls_context
from app.deployment import Deployment, Endpoint, RegionConfig
from app.metrics import Metrics
from app.redis.cluster import RedisClusterLanes
from app.redis.lane import RedisLane

LOCAL_SECONDS = 0.25
"""Longest wait for an answer of a server in this region; about a hundred round trips within a region."""
REMOTE_SECONDS = 1.0
"""Longest wait for a server of another region; four round trips between the farthest two (220 ms)."""
MAX_CONNECTIONS = 512
"""Connections to one server that a process may hold; above it a call fails at once instead of queueing."""

CacheClient: TypeAlias = RedisClusterLanes | RedisLane


class Commands(Protocol):
    """Whatever takes a Redis command: a client, a cluster, a lane."""

    async def execute_command(self, *command: Any) -> Any:
        """The answer, bytes undecoded. Raises: RedisError."""


def secret(deployment: Deployment, name: str) -> str | None:
    """The text of secret file `name` without its line end, or None where there is no such file."""
    with contextlib.suppress(FileNotFoundError):
        return Path(deployment.secrets_directory, name).read_text("utf-8").strip()
    return None


class Script:
    """A Lua script, sent by its hash and in full where a server does not know it yet."""

    __slots__ = ("_sha", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Commands, keys: Sequence[str], *args: str | bytes | float) -> Any:
        """Its answer, bytes undecoded. Raises: RedisError."""
        try:
            return await client.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await client.execute_command("EVAL", self.source, len(keys), *keys, *args)


class RedisClients:
    """Every Redis client of a process, opened when first asked for.

    `cache(region)`: that region's cache. `sessions(region)`: the primary of that region's session store.
    `session_copy(region)`: what to read of another region's sessions: the copy in this region, or the primary
    where there is no copy here. `node(endpoint...)` is for subscriptions, which need one server, not a cluster.
    """

    def __init__(self, deployment: Deployment, metrics: Metrics | None = None) -> None:
        self.deployment = deployment
        self._metrics = metrics
        self._caches: dict[str, CacheClient] = {}
        self._lanes: dict[tuple[str, str], RedisLane] = {}

    @property
    def region(self) -> str:
        """The region of this process."""
        return self.deployment.region

    @property
    def other_regions(self) -> list[str]:
        """The other regions, in the document's order."""
        return [region.name for region in self.deployment.regions if region.name != self.region]

    def cache(self, region: str) -> CacheClient:
        """The client of `region`'s cache. Raises: KeyError where there is no such region."""
        found = self._caches.get(region)
        if found is None:
            config, patience = self._region(region), self._patience(region)

            def lane(endpoint: Endpoint) -> RedisLane:
                return self._lane(endpoint, "cache", region, patience)

            found = RedisClusterLanes(config.cache, lane) if config.cache_cluster else lane(config.cache)
            self._caches[region] = found
        return found

    def cache_endpoint(self, region: str) -> Endpoint:
        """Where `region`'s cache is configured."""
        return self._region(region).cache

    def cache_node(self, region: str, host: str, port: int) -> Redis:
        """A client of one node of `region`'s cache. The caller closes it."""
        tls = self._region(region).cache.tls
        return self._single(Endpoint(host=host, port=port, tls=tls), f"cache-{region}", self._patience(region))

    def sessions(self, region: str) -> RedisLane:
        """The lane to the primary of `region`'s session store. Raises: KeyError."""
        found = self._lanes.get((region, "primary"))
        if found is None:
            endpoint = self._region(region).sessions.primary
            found = self._lanes[region, "primary"] = self._lane(endpoint, "sessions", region, self._patience(region))
        return found

    def session_copy(self, region: str) -> RedisLane:
        """The lane to `region`'s sessions that is nearest: their copy here, else their primary. Raises: KeyError."""
        found = self._lanes.get((region, "copy"))
        if found is None:
            here = [copy for copy in self._region(region).sessions.replicas if copy.region == self.region]
            if not here or region == self.region:
                return self.sessions(region)
            found = self._lanes[region, "copy"] = self._lane(here[0].endpoint, "sessions", region, LOCAL_SECONDS)
        return found

    def has_copy(self, region: str) -> bool:
        """Whether this region keeps a copy of `region`'s sessions."""
        return any(copy.region == self.region for copy in self._region(region).sessions.replicas)

    async def close(self) -> None:
        """Close every connection."""
        caches, self._caches = self._caches, {}
        lanes, self._lanes = self._lanes, {}
        for client in (*caches.values(), *lanes.values()):
            await client.aclose()

    def _region(self, name: str) -> RegionConfig:
        for region in self.deployment.regions:
            if region.name == name:
                return region
        raise KeyError(name)

    def _patience(self, region: str) -> float:
        return LOCAL_SECONDS if region == self.region else REMOTE_SECONDS

    def _lane(self, endpoint: Endpoint, store: str, region: str, patience: float) -> RedisLane:
        tls = tls_context(self.deployment.ca_file) if endpoint.tls else None

        def told(word: str) -> None:
            if self._metrics is not None:
                self._metrics.redis_unfit.labels(store, region, word).inc()

        return RedisLane(endpoint, lambda: secret(self.deployment, f"{store}-{region}"), patience, tls, told)

    def _options(self, endpoint: Endpoint, password_file: str, patience: float) -> dict[str, Any]:
        options: dict[str, Any] = {
            "host": endpoint.host,
            "port": endpoint.port,
            "password": secret(self.deployment, password_file),
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
            "max_connections": MAX_CONNECTIONS,
            "protocol": 2,
        }
        if endpoint.tls:
            options |= {
                "ssl": True,
                "ssl_check_hostname": True,
                "ssl_min_version": ssl.TLSVersion.TLSv1_3,
                "ssl_ca_certs": self.deployment.ca_file or None,
            }
        return options

    def _single(self, endpoint: Endpoint, password_file: str, patience: float) -> Redis:
        return Redis(retry=Retry(NoBackoff(), 0), **self._options(endpoint, password_file, patience))
