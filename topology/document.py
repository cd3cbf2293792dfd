"""The deployment document of a topology: what the program or the lab has built, as the app reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
from topology import budget
from topology.naming import DATABASE
from topology.topology import Topology

CA_FILE = "/etc/hal9/ca/bundle.pem"
"""Where the image has Amazon's trust bundle, which RDS and ElastiCache certificates are verified against."""


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
