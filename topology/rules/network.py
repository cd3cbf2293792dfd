"""Rules of the regions' networks: address blocks, AWS regions, zones, room for the pods."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from facts import kubernetes
from topology import addressing, budget, catalog
from topology.forms import Like
from topology.naming import GLOBAL
from topology.stackfile import STACK, Mistake, listed
from topology.topology import Topology

REGION_NAME = Like(r"[a-z][a-z0-9-]{1,18}[a-z0-9]", "a region's name: 3 to 20 small letters, digits and hyphens")
PAIR = "--"
"""What stands between two regions in the lab's table."""
LARGEST_VPC_PREFIX = 16
"""AWS takes no VPC block larger than a /16 (VPC User Guide, "VPC CIDR blocks")."""


def named_well(topology: Topology) -> Iterator[Mistake]:
    """A region's name is part of DNS names, Redis keys and the names of resources."""
    for name in topology.region_names:
        if name == GLOBAL:
            yield Mistake(f"regions.{name}", f"{name!r} stands for what is in no region; another name")
        try:
            REGION_NAME(name)
        except ValueError as error:
            yield Mistake(f"regions.{name}", str(error))
        if PAIR in name:
            yield Mistake(f"regions.{name}", f"has {PAIR} in it, which stands between two regions; one hyphen")


def blocks_apart(topology: Topology) -> Iterator[Mistake]:
    """No two regions share an address: peering needs disjoint blocks."""
    blocks = [region.cidr for region in topology.ordered_regions]
    for first, second in combinations(topology.ordered_regions, 2):
        if first.cidr.overlaps(second.cidr):
            other, moved = (second, first) if first.cidr == second.cidr else (first, second)
            free = addressing.next_free(blocks, moved.cidr.prefixlen)
            right = f"free from {free} on" if free else f"no /{moved.cidr.prefixlen} is free behind the others"
            yield Mistake(
                f"regions.{moved.name}.cidr",
                f"{moved.cidr} overlaps {other.name} ({other.cidr}); {right}",
                rests_on=(f"regions.{other.name}.cidr",),
            )


VPC_BLOCKS = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15"))
)
"""Addresses that are nobody's on the internet, and that AWS takes for a VPC (RFC 1918, 6598, 2544; VPC User Guide)."""


def blocks_possible(topology: Topology) -> Iterator[Mistake]:
    """A VPC can have the block: it is private, and no cluster's services have its addresses."""
    taken = [region.cidr for region in topology.ordered_regions]
    for region in topology.ordered_regions:
        path = f"regions.{region.name}.cidr"
        if not any(region.cidr.subnet_of(block) for block in VPC_BLOCKS):
            yield Mistake(
                path,
                f"{region.cidr} is not private; a block of {listed(map(str, VPC_BLOCKS))}",
                cause=f"public {region.cidr}",
            )
        elif service := next((block for block in addressing.EKS_SERVICES if region.cidr.overlaps(block)), None):
            free = addressing.next_free(
                [block for block in taken if not any(block.overlaps(other) for other in addressing.EKS_SERVICES)],
                region.cidr.prefixlen,
            )
            right = (
                f"; free is {free}"
                if free and not any(free.overlaps(block) for block in addressing.EKS_SERVICES)
                else ""
            )
            yield Mistake(path, f"{region.cidr} overlaps {service}, from which EKS takes the clusters' services{right}")


def aws_regions_apart(topology: Topology) -> Iterator[Mistake]:
    """No two regions are the same AWS region, or the loss of one would take both."""
    for first, second in combinations(topology.ordered_regions, 2):
        if first.aws_region == second.aws_region:
            yield Mistake(
                f"regions.{second.name}.awsRegion",
                f"{second.aws_region} is {first.name}'s already; each region needs its own",
                rests_on=(f"regions.{first.name}.awsRegion",),
            )


def zones_of_region(topology: Topology) -> Iterator[Mistake]:
    """Each region is one of AWS's, and its zones are zones of it, none twice."""
    taken: set[str] = set()
    for region in topology.ordered_regions:
        path, letters = f"regions.{region.name}", catalog.AWS_REGIONS.get(region.aws_region)
        if letters is None:
            near = difflib.get_close_matches(region.aws_region, sorted(catalog.AWS_REGIONS), n=1)
            right = f"did you mean {near[0]}?" if near else f"known are {listed(sorted(catalog.AWS_REGIONS))}"
            yield Mistake(f"{path}.awsRegion", f"{region.aws_region!r} is no AWS region; {right}")
            continue
        if region.aws_region in taken:
            continue  # refused by `aws_regions_apart`: its zones are likely another AWS region's, and right
        taken.add(region.aws_region)
        known, closed = [region.aws_region + letter for letter in letters], kubernetes.closed_zones(region.aws_region)
        for index, zone in enumerate(region.zones):
            if zone not in known:
                yield Mistake(
                    f"{path}.zones[{index}]",
                    f"{zone!r} is no zone of {region.aws_region}; it has {listed(known)}",
                    rests_on=(f"{path}.awsRegion",),
                )
            elif zone in closed:
                open_zones = [name for name in known if name not in closed]
                yield Mistake(
                    f"{path}.zones[{index}]",
                    f"EKS makes no control plane in {zone} ({closed[zone]}); {listed(open_zones)}",
                    rests_on=(f"{path}.awsRegion",),
                )
            elif zone in region.zones[:index]:
                first = region.zones.index(zone)
                yield Mistake(f"{path}.zones[{index}]", f"{zone} is there twice", rests_on=(f"{path}.zones[{first}]",))


def room_for_pods(topology: Topology) -> Iterator[Mistake]:
    """A region's private subnets hold every pod at the maximum, with one zone lost."""
    need, smallest = budget.addresses_needed(topology), addressing.smallest_vpc_prefix()
    for region in topology.ordered_regions:
        path = f"regions.{region.name}.cidr"
        if not LARGEST_VPC_PREFIX <= region.cidr.prefixlen <= smallest:
            yield Mistake(
                path,
                f"{region.cidr} is not between /{LARGEST_VPC_PREFIX} and /{smallest}, which a VPC of three tiers needs",
            )
        elif (have := budget.addresses_with_a_zone_lost(region)) < need:
            yield Mistake(
                path,
                f"{region.cidr} leaves {have} addresses for pods with a zone lost; maxReplicas "
                f"{topology.autoscaling.max_replicas}, its surge and the nodes need {need}: a larger "
                "block, or fewer pods",
                rests_on=(
                    f"regions.{region.name}.zones",
                    "autoscaling.maxReplicas",
                    "server.maxSurgePercent",
                    "cluster.onDemand.maxNodes",
                    "cluster.spot.maxNodes",
                ),
            )


def leaving(topology: Topology) -> Iterator[Mistake]:
    """A region that is being emptied has no users of its own, and is not the last."""
    for name, region in topology.regions.items():
        if not region.leaving:
            continue
        path = f"regions.{name}.leaving"
        if not topology.staying:
            yield Mistake(path, f"{name} is leaving, and no region stays", rests_on=("regions",))
        if region.countries:
            yield Mistake(
                f"regions.{name}.countries",
                f"{name} is leaving; give its {len(region.countries)} countries to a region that stays",
                rests_on=(path,),
            )
        if topology.edge.default_region == name:
            yield Mistake("edge.defaultRegion", f"{name} is leaving; name a region that stays", rests_on=(path,))
        if (topology.mesh.weights or {}).get(name):
            yield Mistake(f"mesh.weights.{name}", f"{name} is leaving; its weight is 0", rests_on=(path,))


LONGEST_STACK = 40
STACK_NAME = Like(
    r"[a-z][a-z0-9]*(-[a-z0-9]+)*", "a stack's name: small letters, digits and single hyphens, a letter first"
)


def stack_named_well(topology: Topology) -> Iterator[Mistake]:
    """The stack's name is in the name of each resource, and AWS takes no capitals in many of them."""
    name = topology.stack
    if len(name) > LONGEST_STACK:
        yield Mistake(STACK, f"{name[:LONGEST_STACK]}... has {len(name)} characters; at most {LONGEST_STACK}")
        return
    try:
        STACK_NAME(name)
    except ValueError as error:
        meant = re.sub(
            r"[^a-z0-9]+", "-", unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
        )
        meant = meant.lstrip("-0123456789").rstrip("-")
        yield Mistake(STACK, f"{error}{f'; such as {meant}' if meant else ''}")


def endpoints_exist(topology: Topology) -> Iterator[Mistake]:
    """Each interface endpoint is of a service that has one, none twice."""
    named = topology.network.interface_endpoints
    for index, name in enumerate(named):
        path = f"network.interfaceEndpoints[{index}]"
        if name not in catalog.INTERFACE_ENDPOINTS:
            near = difflib.get_close_matches(name, sorted(catalog.INTERFACE_ENDPOINTS), n=1)
            right = f"did you mean {near[0]}?" if near else "such as ecr.api, sts or logs"
            yield Mistake(path, f"{name!r} is no AWS service with an interface endpoint; {right}")
        elif (first := named.index(name)) < index:
            yield Mistake(path, f"{name} is there twice", rests_on=(f"network.interfaceEndpoints[{first}]",))


RULES = (
    stack_named_well,
    named_well,
    blocks_possible,
    blocks_apart,
    aws_regions_apart,
    zones_of_region,
    room_for_pods,
    endpoints_exist,
    leaving,
)
