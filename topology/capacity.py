"""What a topology carries at what a core was measured to carry: the capacity sheet, and where the stack file disagrees.

Pure arithmetic. The figures are measured by `make capacity` (bench/capacity.py), which says how; docs/capacity.md has
the run that they were taken from. A vCPU is counted as a core of the machine that they were measured on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from topology import budget
from topology.topology import Topology

TARGET_USERS = 1000
"""Concurrent users; the specification's target."""
TARGET_REQUESTS = 10_000
"""Requests a second; the specification's target."""
APP_REQUESTS_PER_CORE = 2800
"""Requests of the lab's mix a second that a core of the app carries (docs/capacity.md)."""
GATEWAY_REQUESTS_PER_CORE = 10_000
"""Requests a second that a core of nginx carries, TLS included (docs/capacity.md)."""
THINK_SECONDS = 5.0
"""Mean time between two requests of one user in the lab's mix (lab/load/mix.py)."""
GATEWAY_CPU_LIMIT = 1.0
"""Cores that one nginx may use (components/manifests/gateway.py)."""


@dataclass(frozen=True)
class Need:
    """What carries a load of `requests` a second once one region of several is lost, in each of those that are left."""

    requests: float
    surviving_regions: int
    requests_per_pod: float
    pods: int
    nodes: int
    gateway_cores: float
    connections: int


def requests_per_pod(topology: Topology, per_core: float) -> float:
    """Requests a second of one pod at the autoscaler's target of its CPU request."""
    return per_core * topology.server.resources.cpu_request * topology.autoscaling.cpu_utilization / 100


def users_per_pod(topology: Topology) -> int:
    """Users of a pod who all ask as the specification's targets have it: 10,000 requests a second by 1000 users.

    That is ten requests a second each, fifty times the lab's user who thinks for
    `THINK_SECONDS`: what is kept running for a region's loss is held against both targets
    at once. policies/config.prod.json has the number, and a test that it is this.
    """
    return int(requests_per_pod(topology, APP_REQUESTS_PER_CORE) * TARGET_USERS / TARGET_REQUESTS)


def need(
    topology: Topology,
    requests: float,
    per_core: float | None = None,
    gateway_per_core: float | None = None,
) -> Need:
    """What `requests` a second need in each region that is left, at the measured figures unless others are given.

    A single region has to carry all of it itself.
    """
    per_core, gateway_per_core = per_core or APP_REQUESTS_PER_CORE, gateway_per_core or GATEWAY_REQUESTS_PER_CORE
    left = max(1, len(topology.regions) - 1)
    each, on_node = requests_per_pod(topology, per_core), budget.pods_per_node(topology)
    pods = math.ceil(requests / left / each)
    return Need(
        requests=requests,
        surviving_regions=left,
        requests_per_pod=each,
        pods=pods,
        nodes=math.ceil(pods / on_node) if on_node else 0,
        gateway_cores=requests / left / gateway_per_core,
        connections=pods * left * budget.pool_size(topology),
    )


def capacity_warnings(topology: Topology) -> list[str]:
    """Where minReplicas, maxReplicas, the nodes or the gateways are too few for the targets with one region lost."""
    floor, peak = need(topology, TARGET_USERS / THINK_SECONDS), need(topology, TARGET_REQUESTS)
    scaling, nodes = topology.autoscaling, topology.cluster
    room = (nodes.on_demand.max_nodes + nodes.spot.max_nodes) * budget.pods_per_node(topology)
    gateways = topology.gateway.replicas * GATEWAY_CPU_LIMIT
    users = f"{TARGET_USERS} users with one region lost"
    everybody = f"{TARGET_REQUESTS} requests a second with one region lost"
    found = []
    if scaling.min_replicas < floor.pods:
        found.append(
            f"autoscaling.minReplicas {scaling.min_replicas} is below the {floor.pods} pods a region that {users} need"
        )
    if len(topology.regions) == 1:
        return found  # one region is the specification's phase 1; 10,000 requests a second are asked of the whole
    if scaling.max_replicas < peak.pods:
        found.append(
            f"autoscaling.maxReplicas {scaling.max_replicas} is below the {peak.pods} pods a region that "
            f"{everybody} need"
        )
    if room < peak.pods:
        found.append(f"cluster's nodes hold {room} pods at the most, fewer than the {peak.pods} that {everybody} need")
    if gateways < peak.gateway_cores:
        found.append(
            f"gateway.replicas {topology.gateway.replicas} have {gateways:g} cores, "
            f"fewer than the {peak.gateway_cores:.1f} that {everybody} need"
        )
    return found


def capacity_sheet(topology: Topology, per_core: float, gateway_per_core: float) -> list[str]:
    """Pods, nodes and connections for the two targets with one region lost, with the arithmetic, as Markdown lines."""
    pod, scaling, database = topology.server.resources, topology.autoscaling, topology.database
    each, left = requests_per_pod(topology, per_core), max(1, len(topology.regions) - 1)
    lines = [
        (
            f"A pod asks for {pod.cpu_request:g} core and is scaled at {scaling.cpu_utilization}% of it: "
            f"{per_core:.0f} x {pod.cpu_request:g} x {scaling.cpu_utilization / 100:g} = {each:.0f} requests a second "
            f"a pod, which is {each * THINK_SECONDS:.0f} users who think for {THINK_SECONDS:g} s, or "
            f"{each * TARGET_USERS / TARGET_REQUESTS:.0f} who ask {TARGET_REQUESTS / TARGET_USERS:g} times a second "
            "each, as the two targets together have it. "
            f"A {topology.cluster.on_demand.instance_type} node holds {budget.pods_per_node(topology)} pods. "
            f"A pod opens {budget.pool_size(topology)} connections to an instance: "
            f"min({topology.pools.max_connections}, ({database.max_connections} - {database.reserved_connections}) / "
            f"({budget.peak_pods(topology)} pods x {len(topology.regions)} regions))."
        ),
        "",
        (
            "| with one region lost | a region that is left has | pods a region | nodes a region | nginx cores "
            "a region | connections to an instance |"
        ),
        "|---|---|---|---|---|---|",
    ]
    for name, requests in (
        (f"{TARGET_USERS} users: {TARGET_USERS} / {THINK_SECONDS:g} s", TARGET_USERS / THINK_SECONDS),
        (f"{TARGET_REQUESTS} requests a second", float(TARGET_REQUESTS)),
    ):
        n = need(topology, requests, per_core, gateway_per_core)
        lines.append(
            f"| {name} | {requests:.0f} / {n.surviving_regions} = {requests / n.surviving_regions:.0f} a second "
            f"| / {each:.0f} = {n.pods} | / {budget.pods_per_node(topology)} = {n.nodes} "
            f"| / {gateway_per_core:.0f} = {n.gateway_cores:.2f} "
            f"| {n.pods} x {n.surviving_regions} x {budget.pool_size(topology)} = {n.connections} "
            f"of {database.max_connections} |"
        )
    lines += [
        "",
        (
            f"The stack file has minReplicas {scaling.min_replicas}, maxReplicas {scaling.max_replicas}, "
            f"{topology.cluster.on_demand.min_nodes} to {topology.cluster.on_demand.max_nodes} on-demand and up to "
            f"{topology.cluster.spot.max_nodes} spot nodes, and {topology.gateway.replicas} gateways a region. "
            f"Its autoscaler aims at {scaling.users_per_pod} users a pod, so {TARGET_USERS} users run on "
            f"{TARGET_USERS} / {scaling.users_per_pod} / {left} = "
            f"{math.ceil(TARGET_USERS / scaling.users_per_pod / left)} pods a region with one lost: "
            "far more than they need."
        ),
    ]
    return lines
