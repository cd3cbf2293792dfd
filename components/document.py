"""The deployment document: what the program has built, as the app reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from app.deployment import (
    CacheConfig,
    DatabaseConnection,
    Deployment,
    Endpoint,
    IdentityConfig,
    LimitConfig,
    RegionConfig,
    SessionConfig,
    SessionKey,
    SessionStore,
    ShardConfig,
    ShardingConfig,
)
from components import budget
from components.database import DATABASE, ShardDatabase
from components.redis import RegionCache, RegionSessions
from components.topology import Topology

CA_FILE = "/etc/hal9/ca/bundle.pem"
"""Where the image has Amazon's trust bundle, which RDS and ElastiCache certificates are verified against."""


def deployment_documents(
    topology: Topology,
    shards: Sequence[ShardDatabase],
    caches: Mapping[str, RegionCache],
    sessions: Mapping[str, RegionSessions],
) -> dict[str, pulumi.Output[str]]:
    """The document of each region's pods, as JSON. All say the same but for the region that they are read in."""
    endpoints = pulumi.Output.all(
        primaries=pulumi.Output.all(*(shard.primary for shard in shards)),
        replicas=pulumi.Output.all(*(pulumi.Output.all(*shard.replicas.values()) for shard in shards)),
        caches=pulumi.Output.all(**{name: cache.endpoint for name, cache in caches.items()}),
        sessions=pulumi.Output.all(**{name: store.store for name, store in sessions.items()}),
    )

    def document(region: str) -> pulumi.Output[str]:
        return endpoints.apply(lambda known: deployment(topology, region, **known).encode().decode())

    return {region.name: document(region.name) for region in topology.ordered_regions}


def deployment(
    topology: Topology,
    region: str,
    *,
    primaries: Sequence[DatabaseConnection],
    replicas: Sequence[Sequence[DatabaseConnection]],
    caches: Mapping[str, Endpoint],
    sessions: Mapping[str, SessionStore],
    cache_cluster: bool = True,
    **places: Any,
) -> Deployment:
    """The document of a process in `region`, from the topology and where each server is.

    `primaries` and `replicas` are in the order of the topology's shards. `cache_cluster`: whether the caches
    are in cluster mode. `places` overrides where secrets, the trust bundle or the identity provider's keys are, as the
    lab does.
    """
    shards = tuple(
        ShardConfig(id=shard.id, home=shard.home, primary=primary, replicas=tuple(copies), key_ranges=shard.key_ranges)
        for shard, primary, copies in zip(topology.shards, primaries, replicas, strict=True)
    )
    keyring = tuple(SessionKey(id=key.id, state=key.state) for key in topology.sessions.keyring)
    content: dict[str, Any] = {
        "region": region,
        "regions": tuple(
            RegionConfig(name=r.name, cache=caches[r.name], sessions=sessions[r.name], cache_cluster=cache_cluster)
            for r in topology.ordered_regions
        ),
        "sharding": ShardingConfig(
            shards=shards,
            replication_factor=len(topology.replica_regions(topology.shards[0])),
            read_preference=topology.database.read_preference,
            epoch=topology.database.map_epoch,
            database=DATABASE,
        ),
        "pools": budget.pools(topology),
        "sessions": SessionConfig(
            keyring=keyring,
            ttl_seconds=topology.sessions.ttl_seconds,
            fallback_deadline_seconds=topology.sessions.fallback_deadline_seconds,
        ),
        "identity": IdentityConfig(**topology.identity.model_dump()),
        "cache": CacheConfig(**topology.cache.model_dump()),
        "limits": LimitConfig(**topology.limits.model_dump()),
        "countries": topology.countries,
        "ca_file": CA_FILE,
    }
    return Deployment(**{**content, **places})
