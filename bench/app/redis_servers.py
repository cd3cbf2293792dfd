"""One region of real Redis for the measurements: a cluster of three as the cache, a session store."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from collections.abc import AsyncIterator

from app.deployment import (
    Deployment,
    IdentityConfig,
    PoolConfig,
    RegionConfig,
    SessionConfig,
    SessionKey,
    SessionStore,
    ShardingConfig,
)
from app.redis.clients import RedisClients
from lab.servers.process import User, work_directory
from lab.servers.redis import RedisCluster, RedisServer


@contextlib.asynccontextmanager
async def region() -> AsyncIterator[RedisClients]:
    """The clients of a process in the one region `bench`, its servers gone at the end."""
    with work_directory("hal9-bench", User.current()) as directory:
        cluster, store = RedisCluster(directory / "cache"), RedisServer(directory / "sessions")
        try:
            cluster.start()
            store.start()
            (directory / "session-key-k1").write_text(base64.b64encode(secrets.token_bytes(32)).decode())
            clients = RedisClients(
                Deployment(
                    region="bench",
                    regions=(
                        RegionConfig(
                            name="bench", cache=cluster.endpoint, sessions=SessionStore(primary=store.endpoint)
                        ),
                    ),
                    sharding=ShardingConfig(shards=(), replication_factor=1),
                    pools=PoolConfig(primary_size=1, replica_size=1),
                    sessions=SessionConfig(keyring=(SessionKey(id="k1", state="active"),)),
                    identity=IdentityConfig(issuer="", audience="", service_audience="", jwks=os.devnull),
                    secrets_directory=str(directory),
                )
            )
            yield clients
            await clients.close()
        finally:
            cluster.stop()
            store.stop()
