"""Redis over TLS, on a real server: every kind of client connects, and none to a server that it cannot verify.

A server that was built without TLS gets it from nginx in front of it.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.cache import DistributedCache
from app.deployment import (
    Deployment,
    Endpoint,
    IdentityConfig,
    PoolConfig,
    RegionalEndpoint,
    RegionConfig,
    SessionConfig,
    SessionKey,
    SessionStore,
    ShardingConfig,
)
from app.redis.away import is_away
from app.redis.clients import RedisClients
from lab.servers import programs
from lab.servers.certificates import Certificates, issue
from lab.servers.process import ProcessError, free_port
from lab.servers.redis import SLOTS, RedisServer
from tests.app.redis.tls_front import TlsFront

REGION, ELSEWHERE = "us-west", "eu-central"
NAME = "localhost"
"""The one name in the server's certificate; 127.0.0.1, the same server, is not in it."""
PASSWORD = secrets.token_hex(8)


@functools.cache
def speaks_tls() -> bool:
    """Whether this server was built with TLS: one that was asks for a certificate, and ends as there is none."""
    said = subprocess.run(
        [programs.redis_server(), "--port", "0", "--tls-port", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return not re.search("Bad directive|Failed finding TLS support", said.stdout + said.stderr)


@dataclass(frozen=True)
class TlsServer:
    """A server with a port for TLS, beside the plain one that the lab looks in by."""

    plain: RedisServer
    port: int
    front: TlsFront | None = None

    def endpoint(self, host: str = NAME) -> Endpoint:
        return Endpoint(host=host, port=self.port, tls=True)

    def stop(self) -> None:
        self.plain.stop()
        if self.front is not None:
            self.front.stop()


def start(
    directory: Path, certificates: Certificates, protocols: str = "TLSv1.2 TLSv1.3", *, cluster: bool = False
) -> TlsServer:
    """A server with this certificate, which asks clients for none; a node of a cluster tells its clients a name and its
    TLS port, as ElastiCache's nodes do. Tried again where the port was taken in between."""
    for attempt in range(5):
        try:
            return _start(directory / str(attempt), certificates, protocols, free_port(NAME), cluster)
        except ProcessError:
            if attempt == 4:
                raise
    raise AssertionError


def _start(directory: Path, certificates: Certificates, protocols: str, port: int, cluster: bool) -> TlsServer:
    announced = (
        ["--cluster-announce-hostname", NAME, "--cluster-preferred-endpoint-type", "hostname"] if cluster else []
    )
    if not speaks_tls():
        if cluster:
            announced += ["--cluster-announce-port", str(port)]
        server = RedisServer(directory, password=PASSWORD, cluster=cluster, settings=announced)
        server.start()
        front = TlsFront(directory / "tls", certificates, server.endpoint, port, protocols=protocols)
        try:
            front.start()
        except ProcessError:
            server.stop()
            raise
        return TlsServer(server, port, front)
    settings = [
        "--tls-port",
        str(port),
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        str(certificates.certificate),
        "--tls-key-file",
        str(certificates.key),
        "--tls-ca-cert-file",
        str(certificates.authority),
        "--tls-protocols",
        protocols,
        *announced,
        *(["--tls-cluster", "yes"] if cluster else []),
    ]
    server = RedisServer(directory, password=PASSWORD, cluster=cluster, settings=settings)
    server.start()
    return TlsServer(server, port)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("certificates"), [NAME], [])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[TlsServer]:
    found = start(tmp_path_factory.mktemp("redis-tls"), certificates)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[TlsServer]:
    """A cluster of one node."""
    found = start(tmp_path_factory.mktemp("redis-tls-cluster"), certificates, cluster=True)
    with found.plain.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTS", *range(SLOTS))
        give_up = time.monotonic() + 10
        while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
            assert time.monotonic() < give_up
            time.sleep(0.01)
    yield found
    found.stop()


@pytest.fixture
def deployment(server: TlsServer, certificates: Certificates, tmp_path: Path) -> Deployment:
    """A region whose cache and sessions are this server, and another region's copy of its sessions."""
    for name in ("cache", "sessions"):
        for region in (REGION, ELSEWHERE):
            (tmp_path / f"{name}-{region}").write_text(PASSWORD)
    return over(server.endpoint(), certificates, tmp_path)


def over(endpoint: Endpoint, certificates: Certificates, directory: Path, *, cluster: bool = False) -> Deployment:
    """A document in which every Redis is `endpoint`."""
    copy = RegionalEndpoint(region=REGION, endpoint=endpoint)
    regions = (
        RegionConfig(name=REGION, cache=endpoint, sessions=SessionStore(endpoint), cache_cluster=cluster),
        RegionConfig(name=ELSEWHERE, cache=endpoint, sessions=SessionStore(endpoint, (copy,)), cache_cluster=cluster),
    )
    return Deployment(
        region=REGION,
        regions=regions,
        sharding=ShardingConfig(shards=(), replication_factor=1),
        pools=PoolConfig(primary_size=1, replica_size=1),
        sessions=SessionConfig(keyring=(SessionKey(id="k1", state="active"),)),
        identity=IdentityConfig(issuer="", audience="", service_audience="", jwks=os.devnull),
        secrets_directory=str(directory),
        ca_file=str(certificates.authority),
    )


@pytest_asyncio.fixture
async def clients_of() -> AsyncIterator[Callable[[Deployment], RedisClients]]:
    opened: list[RedisClients] = []

    def make(deployment: Deployment) -> RedisClients:
        opened.append(RedisClients(deployment))
        return opened[-1]

    yield make
    for clients in opened:
        await clients.close()


async def by_cache(clients: RedisClients) -> object:
    return await clients.cache(REGION).execute_command("SET", "cache", "1")


async def by_sessions(clients: RedisClients) -> object:
    return await clients.sessions(REGION).execute_command("SET", "sessions", "1")


async def by_session_copy(clients: RedisClients) -> object:
    return await clients.session_copy(ELSEWHERE).execute_command("SET", "copy", "1")


async def by_cache_node(clients: RedisClients) -> object:
    """The client of subscriptions, redis-py's own."""
    endpoint = clients.cache_endpoint(REGION)
    client: Redis = clients.cache_node(REGION, endpoint.host, endpoint.port)
    try:
        return b"OK" if await client.set("node", "1") else None
    finally:
        await client.aclose()


every_client = pytest.mark.parametrize("ask", [by_cache, by_sessions, by_session_copy, by_cache_node])
Ask = Callable[[RedisClients], Awaitable[object]]
ClientsOf = Callable[[Deployment], RedisClients]


async def refused(clients: RedisClients, ask: Ask) -> str:
    """The error of a server that must not be talked to; it counts as away, so that breakers see it."""
    with pytest.raises(RedisError) as raised:
        await ask(clients)
    assert is_away(raised.value)
    assert PASSWORD not in str(raised.value)
    return str(raised.value)


@every_client
async def test_a_server_of_our_authority_and_name_is_talked_to(
    ask: Ask, deployment: Deployment, clients_of: ClientsOf
) -> None:
    assert await ask(clients_of(deployment)) == b"OK"


def test_it_works_on_the_loop_that_the_server_runs_on(deployment: Deployment) -> None:
    async def ask() -> object:
        clients = RedisClients(deployment)
        try:
            return await by_cache(clients)
        finally:
            await clients.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) == b"OK"


@every_client
async def test_a_certificate_for_another_name_is_refused(
    ask: Ask, server: TlsServer, deployment: Deployment, certificates: Certificates, clients_of: ClientsOf
) -> None:
    elsewhere = over(server.endpoint("127.0.0.1"), certificates, Path(deployment.secrets_directory))
    assert "certificate is not valid for '127.0.0.1'" in await refused(clients_of(elsewhere), ask)


@every_client
async def test_a_certificate_of_another_authority_is_refused(
    ask: Ask, deployment: Deployment, clients_of: ClientsOf, tmp_path: Path
) -> None:
    stranger = issue(tmp_path, [NAME], []).authority
    said = await refused(clients_of(msgspec.structs.replace(deployment, ca_file=str(stranger))), ask)
    assert "certificate verify failed" in said


@every_client
async def test_a_server_that_speaks_at_most_tls_1_2_is_refused(
    ask: Ask, certificates: Certificates, deployment: Deployment, clients_of: ClientsOf, tmp_path: Path
) -> None:
    old = start(tmp_path / "old", certificates, "TLSv1.2")
    try:
        said = await refused(clients_of(over(old.endpoint(), certificates, Path(deployment.secrets_directory))), ask)
    finally:
        old.stop()
    assert "protocol version" in said


@every_client
async def test_a_server_that_speaks_no_tls_is_refused(
    ask: Ask, server: TlsServer, certificates: Certificates, deployment: Deployment, clients_of: ClientsOf
) -> None:
    plain = Endpoint(host=NAME, port=server.plain.port, tls=True)
    await refused(clients_of(over(plain, certificates, Path(deployment.secrets_directory))), ask)


async def test_the_cache_s_nodes_and_invalidations_are_reached_by_their_names_over_tls(
    cluster: TlsServer, certificates: Certificates, deployment: Deployment, clients_of: ClientsOf
) -> None:
    document = over(cluster.endpoint(), certificates, Path(deployment.secrets_directory), cluster=True)
    document = msgspec.structs.replace(document, regions=document.regions[:1])
    caches = [DistributedCache(clients_of(document)) for _ in range(2)]
    try:
        for cache in caches:
            await cache.start()
            assert cache.trusted
        writer, reader = caches
        value = "old"

        async def load() -> str:
            return value

        assert await writer.get_or_load("key", load, str) == "old"
        value = "new"
        assert [await reader.get_or_load("key", load, str) for _ in range(2)] == ["old"] * 2
        assert reader.stats.l1_hits == 1
        assert (await writer.invalidate("key")).here
        assert await reader.get_or_load("key", load, str) == "new"
    finally:
        for cache in caches:
            await cache.close()
    with cluster.plain.client() as client:
        ((_, _, (host, _, *_)),) = client.execute_command("CLUSTER", "SLOTS")
    assert host == NAME.encode()
