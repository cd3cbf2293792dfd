"""What no single setting can see: rules between the parts of a stack file. Each yields every mistake that it finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from app.deployment import SLOTS
from components import addressing, budget, catalog
from components.stackfile import Mistake, listed

if TYPE_CHECKING:
    from components.topology import Topology

SPOT_TYPES = 5
"""Fewest spot pools that make a reclaim of all at once unlikely (EKS Best Practices, "Cost optimization: compute")."""


def mistakes(topology: Topology) -> Iterator[Mistake]:
    """Every mistake between the parts of `topology`."""
    for rule in (
        regions_apart, zones_of_region, room_for_pods, countries_known, schedules, session_replicas, slots_covered,
        shards_placed, replication, redis_nodes, on_demand_floor, spot_pools, autoscaling_bounds, resource_bounds,
        connections, storage, keyring, image, edge_reaches, mesh_weights,
    ):  # fmt: skip
        yield from rule(topology)


def regions_apart(topology: Topology) -> Iterator[Mistake]:
    """Two regions share neither an address block (peering needs disjoint ones) nor an AWS region."""
    blocks = [r.cidr for r in topology.ordered_regions]
    for first, second in combinations(topology.ordered_regions, 2):
        if first.cidr.overlaps(second.cidr):
            free = addressing.next_free(blocks, second.cidr.prefixlen)
            yield Mistake(
                f"regions.{second.name}.cidr",
                f"{second.cidr} overlaps {first.name} ({first.cidr}); free from {free} on",
            )
        if first.aws_region == second.aws_region:
            yield Mistake(
                f"regions.{second.name}.awsRegion",
                f"{second.aws_region} is {first.name}'s already; each region needs its own",
            )


def zones_of_region(topology: Topology) -> Iterator[Mistake]:
    """Each region is one of AWS's, and its zones are zones of it, none twice."""
    for region in topology.ordered_regions:
        path, letters = f"regions.{region.name}", catalog.AWS_REGIONS.get(region.aws_region)
        if letters is None:
            yield Mistake(
                f"{path}.awsRegion",
                f"{region.aws_region!r} is no AWS region; known are {listed(sorted(catalog.AWS_REGIONS))}",
            )
            continue
        known = [region.aws_region + letter for letter in letters]
        for index, zone in enumerate(region.zones):
            if zone not in known:
                yield Mistake(
                    f"{path}.zones[{index}]", f"{zone!r} is no zone of {region.aws_region}; it has {listed(known)}"
                )
            elif zone in region.zones[:index]:
                yield Mistake(f"{path}.zones[{index}]", f"{zone} is there twice")


def room_for_pods(topology: Topology) -> Iterator[Mistake]:
    """A region's private subnets hold every pod at the maximum, with one zone lost."""
    need = budget.addresses_needed(topology)
    for region in topology.ordered_regions:
        path = f"regions.{region.name}.cidr"
        if not 16 <= region.cidr.prefixlen <= addressing.smallest_vpc_prefix():
            yield Mistake(
                path,
                f"{region.cidr} is not between /16 and /{addressing.smallest_vpc_prefix()}, which a VPC of three tiers needs",
            )
        elif (have := budget.addresses_with_a_zone_lost(region)) < need:
            yield Mistake(
                path,
                f"{region.cidr} leaves {have} addresses for pods with a zone lost; maxReplicas {topology.autoscaling.max_replicas}, "
                f"its surge and the nodes need {need}: a larger block, or fewer pods",
            )


def countries_known(topology: Topology) -> Iterator[Mistake]:
    """Countries are ISO codes, each in one region's list; the region for all others exists."""
    seen: dict[str, str] = {}
    for region in topology.ordered_regions:
        for index, country in enumerate(region.countries):
            path = f"regions.{region.name}.countries[{index}]"
            if country not in catalog.COUNTRIES:
                yield Mistake(path, f"{country!r} is no country; an ISO 3166-1 code of two capital letters such as DE")
            elif country in seen:
                yield Mistake(path, f"{country} is {seen[country]}'s already; a country belongs to one region")
            seen.setdefault(country, region.name)
    for index, country in enumerate(topology.edge.blocked_countries):
        if country not in catalog.COUNTRIES:
            yield Mistake(
                f"edge.blockedCountries[{index}]",
                f"{country!r} is no country; an ISO 3166-1 code of two capital letters such as DE",
            )
    if topology.edge.default_region and topology.edge.default_region not in topology.regions:
        yield Mistake("edge.defaultRegion", _no_region(topology.edge.default_region, topology))


def schedules(topology: Topology) -> Iterator[Mistake]:
    """A region's time zone exists, its windows lie apart, and none asks for more than maxReplicas."""
    from zoneinfo import available_timezones

    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    for region in topology.ordered_regions:
        if region.timezone not in available_timezones():
            yield Mistake(
                f"regions.{region.name}.timezone", f"{region.timezone!r} is no IANA time zone such as Europe/Berlin"
            )
        taken: list[tuple[int, int, int]] = []
        for index, window in enumerate(region.schedule):
            path = f"regions.{region.name}.schedule[{index}]"
            start, end = (int(t[:2]) * 60 + int(t[3:]) for t in (window.start, window.end))
            if end <= start:
                yield Mistake(
                    path,
                    f"ends at {window.end}, not after its start at {window.start}; cut a window that passes midnight in two",
                )
                continue
            if not topology.autoscaling.min_replicas <= window.min_replicas <= topology.autoscaling.max_replicas:
                bounds = f"{topology.autoscaling.min_replicas} to {topology.autoscaling.max_replicas}"
                yield Mistake(
                    f"{path}.minReplicas", f"{window.min_replicas} is not within minReplicas to maxReplicas ({bounds})"
                )
            mine = [(days.index(day) * 1440 + start, days.index(day) * 1440 + end, index) for day in window.days]
            clash = next((other for a, b, _ in mine for c, d, other in taken if a < d and c < b), None)
            if clash is not None:
                yield Mistake(path, f"overlaps schedule[{clash}]; windows of a region must lie apart")
            taken += mine


def session_replicas(topology: Topology) -> Iterator[Mistake]:
    """A Global Datastore has at most two secondaries, each in another region that exists."""
    for region in topology.ordered_regions:
        path, named = f"regions.{region.name}.sessionReplicas", region.session_replicas or ()
        if len(named) > budget.MAX_DATASTORE_SECONDARIES:
            yield Mistake(
                path,
                f"names {len(named)} regions; a Global Datastore has at most {budget.MAX_DATASTORE_SECONDARIES} secondaries",
            )
        for index, name in enumerate(named):
            if name == region.name:
                yield Mistake(f"{path}[{index}]", f"{name} is the region itself; a secondary is in another region")
            elif name not in topology.regions:
                yield Mistake(f"{path}[{index}]", _no_region(name, topology))
            elif name in named[:index]:
                yield Mistake(f"{path}[{index}]", f"{name} is there twice")


def slots_covered(topology: Topology) -> Iterator[Mistake]:
    """The shards' ranges cover slots 0 to 999, each once."""
    owner: dict[int, str] = {}
    whole = True
    for number, shard in enumerate(topology.shards):
        for index, keys in enumerate(shard.key_ranges):
            path = f"shards[{number}].slots[{index}]"
            if not 0 <= keys.start <= keys.end < SLOTS:
                whole = False
                yield Mistake(path, f"{keys.start}-{keys.end} is no range within 0-{SLOTS - 1}")
                continue
            slots = range(keys.start, keys.end + 1)
            taken = [slot for slot in slots if slot in owner]
            if taken:
                yield Mistake(path, f"{keys.start}-{keys.end} overlaps {owner[taken[0]]} in slot{_span(taken)}")
            owner.update({slot: f"shards[{number}]" for slot in slots if slot not in owner})
    free = [slot for slot in range(SLOTS) if slot not in owner]
    if free and whole:
        yield Mistake("shards", f"leave slot{_span(free)} without a shard; every slot of 0-{SLOTS - 1} needs one")


def shards_placed(topology: Topology) -> Iterator[Mistake]:
    """Each shard has an id of its own and a home that exists."""
    count = Counter(shard.id for shard in topology.shards)
    for number, shard in enumerate(topology.shards):
        if count[shard.id] > 1:
            free = next(i for i in range(SLOTS) if i not in count)
            yield Mistake(f"shards[{number}].id", f"{shard.id} is the id of {count[shard.id]} shards; free is {free}")
        if shard.home not in topology.regions:
            yield Mistake(f"shards[{number}].home", _no_region(shard.home, topology))


def replication(topology: Topology) -> Iterator[Mistake]:
    """A shard has at most one replica in each region, and a region's loss leaves a copy elsewhere."""
    factor, regions = topology.database.replication_factor, len(topology.regions)
    if factor is None:
        return
    if factor > regions:
        yield Mistake(
            "database.replicationFactor",
            f"{factor} replicas do not fit {regions} region{'s'[: regions > 1]}: one in each, at most {regions}",
        )
    elif factor < regions - 1:
        yield Mistake(
            "database.replicationFactor",
            f"{factor} leaves a region without a replica; {regions} regions need at least {regions - 1}",
        )


def redis_nodes(topology: Topology) -> Iterator[Mistake]:
    """Node types exist; a session store's can be in a Global Datastore, wherever there is more than one region."""
    cache, sessions = topology.redis.cache.node_type, topology.redis.sessions.node_type
    if not cache.startswith("cache.") or catalog.instance_size(cache) is None:
        yield Mistake("redis.cache.nodeType", f"{cache!r} is no known cache node type such as cache.r6g.large")
    refused = catalog.global_datastore_refuses(sessions)
    single = len(topology.regions) == 1 and sessions.startswith("cache.") and catalog.instance_size(sessions)
    if refused and not single:
        yield Mistake("redis.sessions.nodeType", f"{sessions} {refused}; m5, r5 or newer, such as cache.r6g.large")


def on_demand_floor(topology: Topology) -> Iterator[Mistake]:
    """On-demand nodes hold minReplicas, so that a reclaim of every spot node costs no availability."""
    nodes, floor = topology.cluster.on_demand, topology.autoscaling.min_replicas
    have = budget.pods_on_demand(topology)
    if have is None:
        yield Mistake(
            "cluster.onDemand.instanceType", f"{nodes.instance_type!r} is no known instance type such as m6i.2xlarge"
        )
    elif have < floor:
        each = have // nodes.min_nodes
        right = f"at least {-(-floor // each)} nodes" if each else "a larger type"
        yield Mistake(
            "cluster.onDemand.minNodes",
            f"{nodes.min_nodes} of {nodes.instance_type} hold {have} pods, fewer than minReplicas {floor}; {right}",
        )
    if nodes.max_nodes < nodes.min_nodes:
        yield Mistake("cluster.onDemand.maxNodes", f"{nodes.max_nodes} is below minNodes {nodes.min_nodes}")


def spot_pools(topology: Topology) -> Iterator[Mistake]:
    """Five or more spot types of one size and architecture: cluster-autoscaler counts a group by its first type."""
    spot, path = topology.cluster.spot, "cluster.spot.instanceTypes"
    sizes = {name: catalog.instance_size(name) for name in spot.instance_types}
    if len(sizes) < SPOT_TYPES:
        yield Mistake(
            path, f"has {len(sizes)} different types; at least {SPOT_TYPES}, so that one reclaim does not take all"
        )
    for name, size in sizes.items():
        if size is None:
            yield Mistake(path, f"{name!r} is no known instance type such as m6i.2xlarge")
    first = next(((n, s) for n, s in sizes.items() if s), None)
    for name, size in sizes.items():
        if first and size and size != first[1]:
            yield Mistake(
                path,
                f"{name} ({size.vcpus} vCPUs, {size.memory_gib:g} GiB, {size.architecture}) is not of {first[0]}'s size "
                f"({first[1].vcpus} vCPUs, {first[1].memory_gib:g} GiB, {first[1].architecture}); all must be equal",
            )
    on_demand = catalog.instance_size(topology.cluster.on_demand.instance_type)
    if first and on_demand and first[1].architecture != on_demand.architecture:
        yield Mistake(
            path,
            f"are {first[1].architecture}, the on-demand nodes {on_demand.architecture}; the image is built for one",
        )
    if spot.max_nodes < spot.min_nodes:
        yield Mistake("cluster.spot.maxNodes", f"{spot.max_nodes} is below minNodes {spot.min_nodes}")


def autoscaling_bounds(topology: Topology) -> Iterator[Mistake]:
    """The minimum is not above the maximum."""
    low, high = topology.autoscaling.min_replicas, topology.autoscaling.max_replicas
    if low > high:
        yield Mistake("autoscaling.minReplicas", f"{low} is above maxReplicas {high}")


def resource_bounds(topology: Topology) -> Iterator[Mistake]:
    """A pod's limit is not below its request."""
    pod = topology.server.resources
    for name, request, limit in (
        ("cpu", pod.cpu_request, pod.cpu_limit),
        ("memory", pod.memory_request_gib, pod.memory_limit_gib),
    ):
        if limit < request:
            key = "cpuLimit" if name == "cpu" else "memoryLimitGib"
            yield Mistake(f"server.resources.{key}", f"{limit:g} is below the request of {request:g}")


def connections(topology: Topology) -> Iterator[Mistake]:
    """All pods' pools together stay below the server's `max_connections`, and that within what its class holds."""
    database, pods = topology.database, budget.connecting_pods(topology)
    size = catalog.instance_size(database.instance_class)
    most = catalog.default_max_connections(database.instance_class)
    if size is None or most is None or not database.instance_class.startswith("db."):
        yield Mistake(
            "database.instanceClass", f"{database.instance_class!r} is no known RDS class such as db.r6g.2xlarge"
        )
    elif database.max_connections > most:
        yield Mistake(
            "database.maxConnections",
            f"{database.max_connections} is more than {database.instance_class} holds; at most {most}",
        )
    available = database.max_connections - database.reserved_connections
    if (wanted := topology.pools.size or 1) * pods > available:
        yield Mistake(
            "pools.size" if topology.pools.size else "database.maxConnections",
            f"{pods} pods x {wanted} connections = {pods * wanted} is over the budget of {available} (maxConnections "
            f"{database.max_connections} - reservedConnections {database.reserved_connections}); at most {max(0, available // pods)} a pod",
        )
    if topology.pools.size and topology.pools.size > topology.pools.max_connections:
        yield Mistake(
            "pools.size", f"{topology.pools.size} is above pools.maxConnections {topology.pools.max_connections}"
        )


def storage(topology: Topology) -> Iterator[Mistake]:
    """Storage may only grow."""
    database = topology.database
    if database.max_storage_gib < database.storage_gib:
        yield Mistake(
            "database.maxStorageGib", f"{database.max_storage_gib} is below storageGib {database.storage_gib}"
        )


def keyring(topology: Topology) -> Iterator[Mistake]:
    """Exactly one session key encrypts; ids are unique."""
    keys = topology.sessions.keyring
    active = [key.id for key in keys if key.state == "active"]
    if len(active) != 1:
        found = f"has {len(active)} active keys ({', '.join(active)})" if active else "has no active key"
        yield Mistake("sessions.keyring", f"{found}; exactly one must be active")
    for index, key in enumerate(keys):
        if key.id in [other.id for other in keys[:index]]:
            yield Mistake(f"sessions.keyring[{index}].id", f"{key.id} is there twice")


def image(topology: Topology) -> Iterator[Mistake]:
    """Production runs an image by digest: a tag can be moved under a running deployment."""
    if topology.production and "@sha256:" not in topology.server.image:
        yield Mistake(
            "server.image",
            f"{topology.server.image!r} has no digest; `make image STACK={topology.stack}` builds, pushes and writes it",
        )


def edge_reaches(topology: Topology) -> Iterator[Mistake]:
    """CloudFront's addresses are known in each region, so that its load balancer takes no one else."""
    for region in topology.ordered_regions:
        if region.aws_region in catalog.AWS_REGIONS and region.aws_region not in catalog.CLOUDFRONT_PREFIX_LISTS:
            known = listed(sorted(catalog.CLOUDFRONT_PREFIX_LISTS))
            yield Mistake(
                f"regions.{region.name}.awsRegion",
                f"CloudFront's prefix list in {region.aws_region} is not known here; known are {known}",
            )


def mesh_weights(topology: Topology) -> Iterator[Mistake]:
    """The mesh's weights name each region once and add up to 100."""
    weights = topology.mesh.weights
    if weights is None:
        return
    for name in weights.keys() - topology.regions.keys():
        yield Mistake(f"mesh.weights.{name}", _no_region(name, topology))
    for name in topology.regions.keys() - weights.keys():
        yield Mistake(f"mesh.weights.{name}", "is missing; 0 keeps requests without a region away from it")
    if sum(weights.values()) != 100:
        yield Mistake("mesh.weights", f"add up to {sum(weights.values())}, not 100")


def _no_region(name: str, topology: Topology) -> str:
    return f"{name!r} is no region; there are {', '.join(r.name for r in topology.ordered_regions)}"


def _span(slots: list[int]) -> str:
    """` 666`, or `s 334 to 340`: the first run of a list of slots."""
    end = slots[0]
    while end + 1 in slots:
        end += 1
    return f" {end}" if end == slots[0] else f"s {slots[0]} to {end}"
