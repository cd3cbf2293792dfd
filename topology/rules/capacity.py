"""Rules of what runs the app: pods, their schedule and resources, on-demand and spot nodes, the image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from ipaddress import IPv4Network
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from facts import kubernetes
from topology import budget, catalog
from topology.catalog import InstanceSize
from topology.stackfile import Mistake
from topology.topology import Topology

SPOT_TYPES = 5
"""Fewest spot pools that make a reclaim of all at once unlikely (EKS Best Practices, "Cost optimization: compute")."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def autoscaling_bounds(topology: Topology) -> Iterator[Mistake]:
    """The minimum is not above the maximum."""
    low, high = topology.autoscaling.min_replicas, topology.autoscaling.max_replicas
    if low > high:
        yield Mistake(
            "autoscaling.minReplicas", f"{low} is above maxReplicas {high}", rests_on=("autoscaling.maxReplicas",)
        )


def schedules(topology: Topology) -> Iterator[Mistake]:
    """A region's time zone exists, its windows lie apart, and each asks for pods within the autoscaler's bounds."""
    low, high = topology.autoscaling.min_replicas, topology.autoscaling.max_replicas
    for region in topology.ordered_regions:
        if not _is_timezone(region.timezone):
            yield Mistake(
                f"regions.{region.name}.timezone", f"{region.timezone!r} is no IANA time zone such as Europe/Berlin"
            )
        taken: list[tuple[int, int, int]] = []
        for index, window in enumerate(region.schedule):
            path = f"regions.{region.name}.schedule[{index}]"
            if low <= high and not low <= window.min_replicas <= high:
                yield Mistake(
                    f"{path}.minReplicas",
                    f"{window.min_replicas} is not within minReplicas to maxReplicas ({low} to {high})",
                    rests_on=("autoscaling.minReplicas", "autoscaling.maxReplicas"),
                )
            start, end = _minutes(window.start), _minutes(window.end)
            if end <= start:
                yield Mistake(
                    path,
                    f"ends at {window.end}, not after its start at {window.start}; cut a window that "
                    "passes midnight in two",
                )
                continue
            mine = [(DAYS.index(day) * 1440 + start, DAYS.index(day) * 1440 + end, index) for day in set(window.days)]
            clash = next((other for a, b, _ in mine for c, d, other in taken if a < d and c < b), None)
            if clash is not None:
                yield Mistake(
                    path,
                    f"overlaps schedule[{clash}]; windows of a region must lie apart",
                    rests_on=(f"regions.{region.name}.schedule[{clash}]",),
                )
            taken += mine
            for place, day in enumerate(window.days):
                if day in window.days[:place]:
                    yield Mistake(f"{path}.days[{place}]", f"{day} is there twice")


def resource_bounds(topology: Topology) -> Iterator[Mistake]:
    """A pod's limit is not below its request."""
    pod = topology.server.resources
    for request_key, request, limit_key, limit in (
        ("cpuRequest", pod.cpu_request, "cpuLimit", pod.cpu_limit),
        ("memoryRequestGib", pod.memory_request_gib, "memoryLimitGib", pod.memory_limit_gib),
    ):
        if limit < request:
            yield Mistake(
                f"server.resources.{limit_key}",
                f"{limit:g} is below {request_key} {request:g}",
                rests_on=(f"server.resources.{request_key}",),
            )


def on_demand_floor(topology: Topology) -> Iterator[Mistake]:
    """On-demand nodes hold minReplicas, so that a reclaim of every spot node costs no availability."""
    nodes, floor = topology.cluster.on_demand, topology.autoscaling.min_replicas
    have, each = budget.pods_on_demand(topology), budget.pods_per_node(topology)
    if catalog.instance_size(nodes.instance_type) is None:
        yield Mistake(
            "cluster.onDemand.instanceType", f"{nodes.instance_type!r} is no known instance type such as m6i.2xlarge"
        )
    elif have < floor:
        right = f"at least {math.ceil(floor / each)} nodes" if each else "a larger type"
        yield Mistake(
            "cluster.onDemand.minNodes" if each else "cluster.onDemand.instanceType",
            f"{nodes.min_nodes} of {nodes.instance_type} hold {have} pods, fewer than minReplicas {floor}; {right}",
            rests_on=(
                "autoscaling.minReplicas",
                "cluster.onDemand.instanceType",
                "cluster.onDemand.minNodes",
                "server.resources",
            ),
        )
    if nodes.max_nodes < nodes.min_nodes:
        yield Mistake(
            "cluster.onDemand.maxNodes",
            f"{nodes.max_nodes} is below minNodes {nodes.min_nodes}",
            rests_on=("cluster.onDemand.minNodes",),
        )


def spot_pools(topology: Topology) -> Iterator[Mistake]:
    """Five or more spot types of one size and architecture: cluster-autoscaler counts a group by its first type."""
    spot, path = topology.cluster.spot, "cluster.spot.instanceTypes"
    sizes = {name: catalog.instance_size(name) for name in spot.instance_types}
    if len(sizes) < SPOT_TYPES:
        yield Mistake(
            path, f"has {len(sizes)} different types; at least {SPOT_TYPES}, so that one reclaim does not take all"
        )
    for name in [name for name, size in sizes.items() if size is None]:
        yield Mistake(path, f"{name!r} is no known instance type such as m6i.2xlarge")
    known = [(name, size) for name, size in sizes.items() if size]
    on_demand = catalog.instance_size(topology.cluster.on_demand.instance_type)
    held = [size for _, size in known]
    usual = max(held, key=lambda size: (held.count(size), size == on_demand), default=None)
    for name, size in known:
        if usual is not None and size != usual:
            most = next(other for other, measures in known if measures == usual)
            yield Mistake(
                path, f"{name} ({_measures(size)}) is not of {most}'s size ({_measures(usual)}); all must be equal"
            )
    if usual and on_demand and (mine := usual.architecture) != on_demand.architecture:
        yield Mistake(
            path,
            f"are {mine}, the on-demand nodes {on_demand.architecture}; the image is built for one",
            rests_on=("cluster.onDemand.instanceType",),
        )
    if spot.max_nodes < spot.min_nodes:
        yield Mistake(
            "cluster.spot.maxNodes",
            f"{spot.max_nodes} is below minNodes {spot.min_nodes}",
            rests_on=("cluster.spot.minNodes",),
        )


def image(topology: Topology) -> Iterator[Mistake]:
    """Production runs an image by digest: a tag can be moved under a running deployment."""
    if topology.production and topology.server.deployed and "@sha256:" not in topology.server.image:
        yield Mistake(
            "server.image",
            f"{topology.server.image!r} has no digest; `make image STACK={topology.stack}` builds, "
            "pushes and writes it",
            rests_on=("protect",),
        )
    if topology.production and topology.server.deployed and "@sha256:" not in topology.gateway.image:
        yield Mistake(
            "gateway.image",
            f"{topology.gateway.image!r} has no digest; `crane digest {topology.gateway.image}` tells it",
            rests_on=("protect",),
        )


def node_autoscaler(topology: Topology) -> Iterator[Mistake]:
    """cluster-autoscaler is of the cluster's own minor, and its chart
    of the same: with the rights of an older one it hangs.
    """
    chart, told = topology.charts.cluster_autoscaler, topology.charts.cluster_autoscaler_app
    known, wanted = catalog.CLUSTER_AUTOSCALERS.get(chart), topology.cluster.version
    if known is None and told is None:
        yield Mistake(
            "charts.clusterAutoscaler",
            f"chart {chart} is not known here; say in charts.clusterAutoscalerApp which version of "
            "cluster-autoscaler it "
            f"brings (appVersion of `helm show chart --repo {catalog.CLUSTER_AUTOSCALER_CHARTS} cluster-autoscaler "
            f"--version {chart}`)",
        )
        return
    brought = known or _minor(str(told))
    if known is not None and told is not None and _minor(told) != known:
        yield Mistake(
            "charts.clusterAutoscalerApp",
            f"{told}, but chart {chart} brings {known}; leave it out, as the chart is known here",
            rests_on=("charts.clusterAutoscaler",),
        )
    if brought != wanted:
        fit = [version for version, minor in catalog.CLUSTER_AUTOSCALERS.items() if minor == wanted]
        right = f"chart {fit[-1]} brings {wanted}" if fit else f"none that is known here brings {wanted}"
        yield Mistake(
            "charts.clusterAutoscaler",
            f"chart {chart} brings cluster-autoscaler {brought} and the cluster is {wanted}; {right}",
            rests_on=("cluster.version", "charts.clusterAutoscalerApp"),
        )


def cluster_access(topology: Topology) -> Iterator[Mistake]:
    """Who may administer the clusters is of this account, and none is named twice."""
    named = topology.cluster.admin_role_arns
    for index, arn in enumerate(named):
        path, account = f"cluster.adminRoleArns[{index}]", arn.split(":")[4]
        if account != topology.account_id:
            yield Mistake(
                path,
                f"{arn} is of account {account}, which is not accountId {topology.account_id}: its people would be "
                "administrators of every cluster",
                rests_on=("accountId",),
            )
        elif (first := named.index(arn)) < index:
            yield Mistake(path, f"{arn} is there twice", rests_on=(f"cluster.adminRoleArns[{first}]",))


WIDEST_ACCESS = 8
"""Prefix below which a block is the world, cut in parts or not."""


def public_access(topology: Topology) -> Iterator[Mistake]:
    """The clusters' endpoint is open to named addresses of the internet, not to all of it, nor to private ones."""
    named = topology.cluster.public_access_cidrs
    for index, block in enumerate(named):
        path = f"cluster.publicAccessCidrs[{index}]"
        if block.prefixlen < WIDEST_ACCESS:
            yield Mistake(
                path,
                f"{block} is the world, or a large part of it; the addresses of those who deploy, such "
                "as 203.0.113.7/32",
            )
        elif block.is_private and not any(block.subnet_of(known) for known in DOCUMENTATION):
            yield Mistake(
                path, f"{block} is private: no one comes from there to a public endpoint; a public address, or none"
            )
        elif (first := named.index(block)) < index:
            yield Mistake(path, f"{block} is there twice", rests_on=(f"cluster.publicAccessCidrs[{first}]",))


DOCUMENTATION = tuple(map(IPv4Network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")))
"""Addresses that examples are written with (RFC 5737)."""


def add_ons_of_version(topology: Topology) -> Iterator[Mistake]:
    """kube-proxy is of the cluster's own minor version (EKS User
    Guide, "Working with the Kubernetes kube-proxy add-on").
    """
    version, proxy = topology.cluster.version, topology.cluster.kube_proxy
    if not proxy.startswith(f"v{version}."):
        known = kubernetes.add_on_versions(version, "kube-proxy")
        right = f"such as {known[-1]}" if known else f"v{version}.N-eksbuild.N"
        yield Mistake(
            "cluster.addOns.kubeProxy",
            f"{proxy} is not of Kubernetes {version}; {right}",
            rests_on=("cluster.version",),
        )


RULES = (
    autoscaling_bounds,
    schedules,
    resource_bounds,
    on_demand_floor,
    spot_pools,
    image,
    cluster_access,
    public_access,
    add_ons_of_version,
    node_autoscaler,
)


def _is_timezone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as Europe
        return False
    return True


def _minor(version: str) -> str:
    """`1.35` of `1.35.0` or `v1.35.0`."""
    return ".".join(version.removeprefix("v").split(".")[:2])


def _minutes(clock: str) -> int:
    """Minutes since midnight of `07:30`."""
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _measures(size: InstanceSize) -> str:
    return f"{size.vcpus} vCPUs, {size.memory_gib:g} GiB, {size.architecture}"
