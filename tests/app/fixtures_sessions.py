"""Sessions over three regions of real Redis: one manager for each region, as three processes would have it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest_asyncio

from app.deployment import (
    Deployment,
    Endpoint,
    IdentityConfig,
    PoolConfig,
    RegionConfig,
    SessionConfig,
    SessionKey,
    SessionStore,
    ShardingConfig,
)
from app.metrics import Metrics
from app.redis.clients import RedisClients
from app.sessions.manager import DistributedSessionManager
from app.sessions.records import session_key
from tests.app.fixtures_redis import REGIONS, Document, RedisRegions

WEST, CENTRAL, SOUTH = REGIONS
USER = UUID(int=1)


def bare_document(directory: Path) -> Deployment:
    nowhere = Endpoint(host="127.0.0.1", port=1, tls=False)
    return Deployment(
        region=WEST,
        regions=(RegionConfig(name=WEST, cache=nowhere, sessions=SessionStore(primary=nowhere)),),
        sharding=ShardingConfig(shards=(), replication_factor=1),
        pools=PoolConfig(primary_size=1, replica_size=1),
        sessions=SessionConfig(keyring=(SessionKey(id="k1", state="active"),)),
        identity=IdentityConfig(issuer="", audience="", service_audience="", jwks=os.devnull),
        secrets_directory=str(directory),
    )


class World:
    """A manager in each region, `at[region]`, over the servers of `redis`."""

    def __init__(self, redis: RedisRegions, documents: dict[str, Deployment]) -> None:
        self.redis = redis
        self.metrics = {region: Metrics() for region in REGIONS}
        self.clients = {region: RedisClients(document) for region, document in documents.items()}
        self.at = {
            region: DistributedSessionManager(clients, metrics=self.metrics[region])
            for region, clients in self.clients.items()
        }

    async def copied(self) -> None:
        """Wait until every write of before is in every copy."""
        await asyncio.to_thread(self.redis.wait_for_copies)

    async def beat(self) -> None:
        """Let every region show that it is alive, and hear of revocations, once."""
        for manager in self.at.values():
            await manager._stores.revocations._beat()
        await self.copied()
        for manager in self.at.values():
            for region in REGIONS:
                await manager._stores.revocations._read(region)

    def raw(self, region: str, session_id: str) -> bytes | None:
        with self.redis.primaries[region].client() as client:
            found: bytes | None = client.get(session_key(region, session_id))
            return found

    def put_raw(self, region: str, session_id: str, record: bytes) -> None:
        with self.redis.primaries[region].client() as client:
            client.set(session_key(region, session_id), record, ex=3600)

    def lives_in(self, session_id: str) -> list[str]:
        return [region for region in REGIONS if (self.raw(region, session_id) or b"")[:1] == b"L"]

    def refused(self, region: str, reason: str) -> float:
        value = self.metrics[region].registry.get_sample_value("hal9_sessions_refused_total", {"reason": reason})
        return value or 0.0


@pytest_asyncio.fixture
async def world(redis_regions: RedisRegions, redis_document: Document) -> AsyncIterator[World]:
    world = World(redis_regions, {region: redis_document(region) for region in REGIONS})
    await world.beat()
    yield world
    for region in REGIONS:
        await world.at[region].close()
        await world.clients[region].close()
