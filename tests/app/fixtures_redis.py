"""Three regions of real Redis, once a test process: a cluster of three as each cache, a session store with copies.

`redis_regions` are the servers, `redis_document` gives the document as a process of a region reads it. Each test
finds them empty and running; a test that stops or freezes a server is put right by the next one's fixture.
"""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.deployment import (
    CacheConfig,
    Deployment,
    IdentityConfig,
    PoolConfig,
    RegionalEndpoint,
    RegionConfig,
    SessionConfig,
    SessionKey,
    SessionStore,
    ShardingConfig,
)
from lab.servers.process import User, work_directory
from lab.servers.redis import RedisCluster, RedisServer

REGIONS = ("us-west", "eu-central", "ap-south")
Document = Callable[..., Deployment]


class RedisRegions:
    """`caches` and `primaries` by region; `copies` by the region whose sessions they are, and where they stand."""

    def __init__(self, directory: Path) -> None:
        self.caches = {region: RedisCluster(directory / f"cache-{region}") for region in REGIONS}
        self.primaries = {region: RedisServer(directory / f"sessions-{region}") for region in REGIONS}
        self.copies = {
            (of, at): RedisServer(directory / f"sessions-{of}-{at}", replica_of=primary)
            for of, primary in self.primaries.items()
            for at in REGIONS
            if at != of
        }

    @property
    def servers(self) -> list[RedisServer]:
        """All of them, primaries before their copies."""
        nodes = [server for cluster in self.caches.values() for server in cluster.servers]
        return [*nodes, *self.primaries.values(), *self.copies.values()]

    def start(self) -> None:
        """Start all, side by side."""
        with ThreadPoolExecutor(6) as workers:
            clusters = [workers.submit(cluster.start) for cluster in self.caches.values()]
            list(workers.map(RedisServer.start, self.primaries.values()))
            list(workers.map(RedisServer.start, self.copies.values()))
            for cluster in clusters:
                cluster.result()

    def reset(self) -> None:
        """Every server running, linked and empty."""
        broken = False
        for server in self.servers:
            if server.process.running:
                server.process.resume()
            else:
                server.start()
                broken = True
        for server in self.servers:
            if server.replica_of is None:
                with server.client() as client:
                    client.flushall()
        if broken:
            for cluster in self.caches.values():
                cluster.wait_until_whole()
        for copy in self.copies.values():
            copy.wait_until_copied()
            self.wait_for_copy(copy)

    def wait_for_copy(self, copy: RedisServer, timeout: float = 20) -> None:
        """Wait until `copy` has everything that its primary has now."""
        assert copy.replica_of is not None
        with copy.replica_of.client() as source, copy.client() as client:
            target = source.info("replication")["master_repl_offset"]
            give_up = time.monotonic() + timeout
            while client.info("replication")["slave_repl_offset"] < target:
                assert time.monotonic() < give_up, "a copy of the sessions does not follow its primary"
                time.sleep(0.005)

    def wait_for_copies(self) -> None:
        """Wait until every copy has everything that is written now."""
        for copy in self.copies.values():
            self.wait_for_copy(copy)

    def stop(self) -> None:
        """End all of them."""
        for server in reversed(self.servers):
            if server.process.running:
                server.kill()

    def regions(self) -> tuple[RegionConfig, ...]:
        """The regions of a document over these servers."""
        return tuple(
            RegionConfig(
                name=region,
                cache=self.caches[region].endpoint,
                sessions=SessionStore(
                    primary=self.primaries[region].endpoint,
                    replicas=tuple(
                        RegionalEndpoint(region=at, endpoint=copy.endpoint)
                        for (of, at), copy in self.copies.items()
                        if of == region
                    ),
                ),
            )
            for region in REGIONS
        )


@pytest.fixture(scope="session")
def redis_servers() -> Iterator[RedisRegions]:
    """Eighteen real servers; ask for `redis_regions`, which are these and empty."""
    with work_directory("hal9-redis-test", User.current()) as directory:
        servers = RedisRegions(directory)
        try:
            servers.start()
            yield servers
        finally:
            servers.stop()


@pytest.fixture
def redis_regions(redis_servers: RedisRegions) -> RedisRegions:
    """The servers, all running and empty."""
    redis_servers.reset()
    return redis_servers


@pytest.fixture
def redis_document(redis_regions: RedisRegions, tmp_path: Path) -> Document:
    """`redis_document("eu-central")`: the document of a process there. `cache=` and other fields may be replaced."""
    directory = tmp_path / "redis-secrets"
    directory.mkdir()
    for key in ("k1", "k2", "k3"):
        (directory / f"session-key-{key}").write_text(base64.b64encode(secrets.token_bytes(32)).decode())

    def document(
        region: str = "us-west", keyring: tuple[SessionKey, ...] | None = None, cache: CacheConfig | None = None
    ) -> Deployment:
        return Deployment(
            region=region,
            regions=redis_regions.regions(),
            sharding=ShardingConfig(shards=(), replication_factor=3),
            pools=PoolConfig(primary_size=1, replica_size=1),
            sessions=SessionConfig(
                keyring=keyring or (SessionKey(id="k1", state="active"),), fallback_deadline_seconds=1
            ),
            identity=IdentityConfig(issuer="", audience="", service_audience="", jwks=os.devnull),
            cache=cache or CacheConfig(),
            secrets_directory=str(directory),
        )

    return document
