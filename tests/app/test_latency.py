"""The round trip between regions, measured over real sockets."""

from __future__ import annotations

import asyncio

import msgspec

from app.deployment import (
    Deployment,
    Endpoint,
    IdentityConfig,
    PoolConfig,
    RegionConfig,
    SessionConfig,
    SessionStore,
    ShardingConfig,
)
from app.latency import CrossRegionLatency, round_trip
from app.metrics import Metrics
from lab.servers.process import free_port


def at(port: int) -> Endpoint:
    return Endpoint(host="127.0.0.1", port=port, tls=False)


def document(**ports: int) -> Deployment:
    return Deployment(
        region="us_west",
        regions=tuple(
            RegionConfig(name=name, cache=at(1), sessions=SessionStore(primary=at(port)))
            for name, port in ports.items()
        ),
        sharding=ShardingConfig(shards=(), replication_factor=1),
        pools=PoolConfig(primary_size=1, replica_size=1),
        sessions=SessionConfig(keyring=()),
        identity=IdentityConfig(issuer="", audience="", service_audience="", jwks=""),
    )


async def listen() -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


async def test_the_latency_to_each_other_region_is_measured_and_not_to_its_own() -> None:
    server, port = await listen()
    metrics = Metrics()
    latency = CrossRegionLatency(document(us_west=port, eu_central=port, ap_south=port), metrics)
    watching = asyncio.create_task(latency.watch())
    async with asyncio.timeout(5):
        while metrics.render().count(b"hal9_cross_region_latency_seconds{") < 2:
            await asyncio.sleep(0.01)
    watching.cancel()
    server.close()
    text = metrics.render().decode()
    assert 'hal9_cross_region_latency_seconds{destination="eu_central",source="us_west"}' in text
    assert 'destination="us_west"' not in text


async def test_a_handshake_on_this_machine_takes_less_than_the_limit_between_regions() -> None:
    server, port = await listen()
    assert 0 < await round_trip(at(port)) < 0.1
    server.close()


async def test_a_region_that_does_not_answer_has_no_latency_and_counts_as_a_failure() -> None:
    server, port = await listen()
    metrics = Metrics()
    latency = CrossRegionLatency(document(us_west=1, eu_central=port), metrics)
    await latency.measure("eu_central")
    server.close()
    await server.wait_closed()
    latency = CrossRegionLatency(document(us_west=1, eu_central=free_port()), metrics)
    await latency.measure("eu_central")
    text = metrics.render().decode()
    assert "hal9_cross_region_latency_seconds{" not in text
    assert 'hal9_cross_region_failures_total{destination="eu_central",source="us_west"} 1.0' in text


def test_a_deployment_of_one_region_measures_nothing() -> None:
    latency = CrossRegionLatency(msgspec.structs.replace(document(us_west=1)), Metrics())
    assert latency._targets == {}
