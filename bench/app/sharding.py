"""A user's shard against a hit in a dict keyed by users: what a directory in memory would cost at best."""

from __future__ import annotations

import time
import uuid

from app.databases.sharding import ShardMap
from app.deployment import DatabaseConnection, Endpoint, KeyRange, ShardConfig, ShardingConfig
from bench.app import Measured, Measurement, interleaved

USERS = 1000
PASSES = 40


def _shards() -> ShardMap:
    def shard(number: int, start: int, end: int) -> ShardConfig:
        primary = DatabaseConnection(region=f"region-{number}", endpoint=Endpoint(host="db", port=5432))
        ranges = (KeyRange(start=start, end=end),)
        return ShardConfig(id=number, home=primary.region, primary=primary, replicas=(), key_ranges=ranges)

    shards = (shard(1, 0, 333), shard(2, 334, 666), shard(3, 667, 999))
    return ShardMap(ShardingConfig(shards=shards, replication_factor=1))


async def lookup() -> Measured:
    """`get_shard_for_user` against `directory[user_id]`, over the same ids in the same loop."""
    shards = _shards()
    users = [uuid.uuid4() for _ in range(USERS)]
    directory = {user: shards.get_shard_for_user(user) for user in users}
    get = shards.get_shard_for_user

    async def ours() -> float:
        began = time.perf_counter()
        for _ in range(PASSES):
            for user in users:
                get(user)
        return (time.perf_counter() - began) / (USERS * PASSES)

    async def theirs() -> float:
        began = time.perf_counter()
        for _ in range(PASSES):
            for user in users:
                directory[user]
        return (time.perf_counter() - began) / (USERS * PASSES)

    return await interleaved(ours, theirs, "cost")


MEASUREMENTS = [Measurement("shard lookup", "a dict hit by user id", "at most", 3.5, lookup)]
