"""Rules of Redis and the sessions in it: node types, Global Datastores, the keyring."""

from __future__ import annotations

from collections.abc import Iterator

from topology import catalog
from topology.stackfile import Mistake, unknown_region
from topology.topology import Topology


def session_replicas(topology: Topology) -> Iterator[Mistake]:
    """A Global Datastore has at most two secondaries, each in another region that exists."""
    for region in topology.ordered_regions:
        path, named = f"regions.{region.name}.sessionReplicas", region.session_replicas or ()
        if len(named) > catalog.MAX_DATASTORE_SECONDARIES:
            yield Mistake(
                path,
                f"names {len(named)} regions; a Global Datastore has at most "
                f"{catalog.MAX_DATASTORE_SECONDARIES} secondaries",
            )
        for index, name in enumerate(named):
            if name == region.name:
                yield Mistake(f"{path}[{index}]", f"{name} is the region itself; a secondary is in another region")
            elif name not in topology.regions:
                yield unknown_region(f"{path}[{index}]", name, topology.region_names)
            elif name in named[:index]:
                yield Mistake(f"{path}[{index}]", f"{name} is there twice", rests_on=(f"{path}[{named.index(name)}]",))


def session_generations(topology: Topology) -> Iterator[Mistake]:
    """A generation is of a region that exists."""
    for region in topology.ordered_regions:
        for name in region.session_generations:
            if name not in topology.regions:
                path = f"regions.{region.name}.sessionGenerations.{name}"
                yield unknown_region(path, name, topology.region_names)
            elif name == region.name:
                path = f"regions.{region.name}.sessionGenerations.{name}"
                yield Mistake(path, f"{name} has the sessions themselves; another store in its place would be empty")


def redis_nodes(topology: Topology) -> Iterator[Mistake]:
    """Node types exist; a session store's can be in a Global Datastore, wherever a region has one."""
    cache, sessions = topology.redis.cache.node_type, topology.redis.sessions.node_type
    datastores = any(topology.session_replica_regions(region) for region in topology.ordered_regions)
    if catalog.cache_size(cache) is None:
        yield Mistake("redis.cache.nodeType", f"{cache!r} is no known cache node type such as cache.r6g.large")
    if catalog.cache_size(sessions) is None:
        yield Mistake("redis.sessions.nodeType", f"{sessions!r} is no known cache node type such as cache.r6g.large")
    elif datastores and not catalog.global_datastore_takes(sessions):
        yield Mistake(
            "redis.sessions.nodeType",
            f"{sessions} cannot be in a Global Datastore; m5, r5 or newer, such as cache.r6g.large",
            rests_on=("regions",),
        )


def keyring(topology: Topology) -> Iterator[Mistake]:
    """Exactly one session key encrypts; ids are unique."""
    keys = topology.sessions.keyring
    active = [key.id for key in keys if key.state == "active"]
    if len(active) != 1:
        found = f"has {len(active)} active keys ({', '.join(active)})" if active else "has no active key"
        yield Mistake("sessions.keyring", f"{found}; exactly one must be active")
    ids = [key.id for key in keys]
    for index, key in enumerate(keys):
        if (first := ids.index(key.id)) < index:
            yield Mistake(
                f"sessions.keyring[{index}].id",
                f"{key.id!r} is sessions.keyring[{first}]'s already",
                rests_on=(f"sessions.keyring[{first}]",),
            )


def cache_fits(topology: Topology) -> Iterator[Mistake]:
    """The cache has no more nodes than a Redis cluster may; its second level keeps values no shorter than the first."""
    nodes, cache = topology.redis.cache, topology.cache
    if (count := nodes.shards * (1 + nodes.replicas_per_shard)) > catalog.MOST_CACHE_NODES:
        most = catalog.MOST_CACHE_NODES // (1 + nodes.replicas_per_shard)
        yield Mistake(
            "redis.cache.shards",
            f"{nodes.shards} with {nodes.replicas_per_shard} replicas each are {count} nodes; a Redis "
            "cluster has at most "
            f"{catalog.MOST_CACHE_NODES}: {most} shards",
            rests_on=("redis.cache.replicasPerShard",),
        )
    if cache.l2_ttl_seconds < cache.ttl_seconds:
        yield Mistake(
            "cache.l2TtlSeconds",
            f"{cache.l2_ttl_seconds:g} is below ttlSeconds {cache.ttl_seconds:g}: the second level would "
            "be empty first",
            rests_on=("cache.ttlSeconds",),
        )


def audiences(topology: Topology) -> Iterator[Mistake]:
    """Users' tokens and services' are for different audiences, or a user could call what is for services."""
    identity = topology.identity
    if identity.audience == identity.service_audience:
        yield Mistake(
            "identity.serviceAudience",
            f"{identity.service_audience!r} is audience too: any user's token would open what is for services; another",
            rests_on=("identity.audience",),
        )


RULES = (session_replicas, session_generations, redis_nodes, keyring, cache_fits, audiences)
