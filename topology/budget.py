"""What follows from a topology's numbers: connections a pod, pods a node, addresses a zone. Pure arithmetic."""

from __future__ import annotations

import math

from app.deployment import PoolConfig
from topology import addressing, catalog
from topology.addressing import Tier
from topology.settings import Region
from topology.topology import Topology

SYSTEM_PODS_PER_NODE = 15
"""Addresses that a node needs beside `hal9-server`'s pods: daemon sets, platform pods, and the CNI's warm addresses."""


def peak_pods(topology: Topology) -> int:
    """Pods of one region at the most: maxReplicas and the surge of a rolling update."""
    most = topology.autoscaling.max_replicas
    return most + math.ceil(most * topology.server.max_surge_percent / 100)


def connecting_pods(topology: Topology) -> int:
    """Pods that may hold a pool to one Postgres instance:
    those of every region, as any may have to use any instance.
    """
    return peak_pods(topology) * len(topology.regions)


def pool_size(topology: Topology) -> int:
    """Connections that one pod may open to one instance: its share of
    `maxConnections`, at most the specification's cap.
    """
    available = topology.database.max_connections - topology.database.reserved_connections
    return share(available, connecting_pods(topology), topology.pools.max_connections)


def pools(topology: Topology) -> PoolConfig:
    """The pools of one pod, with the sizes that the connection budget allows."""
    size = topology.pools.size or pool_size(topology)
    caps = topology.pools.model_dump(exclude={"size"})
    return PoolConfig(primary_size=size, replica_size=size, **caps)


def share(available: int, pods: int, cap: int) -> int:
    """Each of `pods`' share of an instance's connections, at most `cap`."""
    return min(cap, available // pods)


def pods_per_node(topology: Topology) -> int:
    """`hal9-server` pods that an on-demand node holds; 0 where its type is unknown or too small."""
    size, pod = catalog.instance_size(topology.cluster.on_demand.instance_type), topology.server.resources
    if size is None:
        return 0
    cpu = pod.cpu_request + pod.sidecar_cpu_request
    memory = pod.memory_request_gib + pod.sidecar_memory_request_gib
    return catalog.pods_on_node(size, cpu, memory)


def pods_on_demand(topology: Topology) -> int:
    """`hal9-server` pods that the on-demand node group holds at its minimum."""
    return topology.cluster.on_demand.min_nodes * pods_per_node(topology)


def addresses_needed(topology: Topology) -> int:
    """Private addresses that a region needs when every node group is at its maximum."""
    nodes = topology.cluster.on_demand.max_nodes + topology.cluster.spot.max_nodes
    return peak_pods(topology) + nodes * (SYSTEM_PODS_PER_NODE + 1)


def addresses_with_a_zone_lost(region: Region) -> int:
    """Private addresses that are left when one zone of several
    is gone. ValueError where the block is too small to cut.
    """
    subnets = [addressing.subnet(region.cidr, Tier.PRIVATE, i) for i in range(len(region.zones))]
    left = subnets[1:] or subnets
    return sum(map(addressing.usable_addresses, left))
