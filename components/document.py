"""The deployment document of each region's pods: where each server is that the program has built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi

from components.database import ShardDatabase
from components.redis import RegionCache, RegionSessions
from topology.document import deployment
from topology.topology import Topology


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
