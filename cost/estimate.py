"""What each resource of a plan costs by the hour that it is there:
instances, disks, addresses; nothing that use decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cost.prices import GLOBAL, Price, prices
from plan.record import Resource
from plan.values import is_unknown
from policies import tokens
from policies.expect import at, items
from policies.stack import Stack

_SINGLE = {
    tokens.EKS: ("EKS", "cluster standard support"),
    tokens.NAT_GATEWAY: ("VPC", "NAT gateway hour"),
    "aws:ec2/eip:Eip": ("VPC", "public IPv4 address"),
    tokens.LOAD_BALANCER: ("ELB", "NLB hour"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": ("CloudWatch", "alarm, standard resolution, per metric"),
    tokens.KEY: ("KMS", "customer key"),
    tokens.SECRET: ("Secrets Manager", "secret"),
}
_GLOBAL = {
    tokens.ZONE: ("Route 53", "hosted zone"),
    "aws:route53/healthCheck:HealthCheck": ("Route 53", "health check, basic, AWS endpoint or metric"),
    tokens.WEB_ACL: ("WAF", "web ACL"),
}
BY_USE = {
    "kubernetes:helm.sh/v3:Release": "volumes that its pods claim",
    tokens.DISTRIBUTION: "requests and bytes",
    tokens.LOG_GROUP: "bytes of logs",
    tokens.FLOW_LOG: "bytes of logs",
    tokens.REPOSITORY: "bytes of images",
    tokens.TOPIC: "messages",
    tokens.RDS_BACKUPS_ELSEWHERE: "bytes of backups",
    tokens.DATASTORE: "bytes between regions",
    tokens.PEERING: "bytes between regions",
}
"""Types whose bill is what is done with them; no price of theirs is in an idle month."""


@dataclass(frozen=True)
class Need:
    """So many of one item of the table for one resource."""

    service: str
    item: str
    region: str
    count: float


@dataclass
class Bill:
    """A month's cost: by service and region in USD, the rows
    that it rests on, what has no price and what use decides.
    """

    usd: dict[tuple[str, str], float] = field(default_factory=dict)
    rows: dict[Price, float] = field(default_factory=dict)
    unpriced: Counter[str] = field(default_factory=Counter)
    by_use: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> float:
        """USD a month of all that has a price."""
        return sum(self.usd.values())


def bill(resources: Iterable[Resource]) -> Bill:
    """The idle month of a plan's resources."""
    stack, found, table = Stack(tuple(resources)), Bill(), prices()
    for resource in stack.resources:
        if resource.type in BY_USE:
            found.by_use[f"{resource.kind}: {BY_USE[resource.type]}"] += 1
        for need in needs(stack, resource):
            price = table.get((need.service, need.item, need.region))
            if price is None:
                found.unpriced[f"{need.service} {need.item} in {need.region}"] += 1
                continue
            place = (need.service, need.region)
            found.usd[place] = found.usd.get(place, 0.0) + price.monthly * need.count
            found.rows[price] = found.rows.get(price, 0.0) + price.monthly * need.count
    return found


def needs(stack: Stack, resource: Resource) -> Iterator[Need]:
    """What of the table one resource takes."""
    place = resource.region
    if resource.type in _SINGLE:
        yield Need(*_SINGLE[resource.type], place, 1)
    if resource.type in _GLOBAL:
        yield Need(*_GLOBAL[resource.type], GLOBAL, 1)
    if resource.type == tokens.WEB_ACL:
        yield Need("WAF", "rule or managed group", GLOBAL, len(items(resource, "rules")))
    if resource.type == tokens.RDS:
        zones = "multi-az" if at(resource, "multiAz") is True else "single-az"
        yield Need("RDS", f"{at(resource, 'instanceClass')} postgres {zones}", place, 1)
        yield Need("RDS", f"gp3 storage {zones}", place, float(_storage(stack, resource)))
    if resource.type == tokens.REDIS:
        yield Need("ElastiCache", f"{_node_type(stack, resource)} redis", place, _nodes(stack, resource))
    if resource.type == tokens.LOAD_BALANCER and at(resource, "internal") is False:
        yield Need("VPC", "public IPv4 address", place, len(items(resource, "subnets")))
    if resource.type == tokens.NODE_GROUP:
        yield from _machines(stack, resource)
    if resource.type == "aws:ec2/vpcEndpoint:VpcEndpoint" and at(resource, "vpcEndpointType") == "Interface":
        yield Need("VPC", "interface endpoint hour per zone", place, len(items(resource, "subnetIds")))


def _storage(stack: Stack, database: Resource) -> int:
    """GB of a database's disk; a replica has its primary's."""
    size = at(database, "allocatedStorage")
    if isinstance(size, int):
        return size
    for source in stack.sources(database, "replicateSourceDb", tokens.RDS):
        return _storage(stack, source)
    return 0


def _primary(stack: Stack, group: Resource) -> Resource:
    """The group that a Global Datastore's secondary has its size from; a group of its own, itself."""
    for datastore in stack.sources(group, "globalReplicationGroupId", tokens.DATASTORE):
        for primary in stack.sources(datastore, "primaryReplicationGroupId", tokens.REDIS):
            return primary
    return group


def _node_type(stack: Stack, group: Resource) -> str:
    found = at(group, "nodeType")
    return str(at(_primary(stack, group), "nodeType") if found is None or is_unknown(found) else found)


def _nodes(stack: Stack, group: Resource) -> int:
    if isinstance(count := at(group, "numCacheClusters"), int):
        return count
    own = _primary(stack, group)
    shards = at(group, "numNodeGroups") or at(own, "numNodeGroups") or 1
    replicas = at(group, "replicasPerNodeGroup")
    replicas = at(own, "replicasPerNodeGroup") if replicas is None else replicas
    return int(shards) * (1 + int(replicas or 0))


def _machines(stack: Stack, group: Resource) -> Iterator[Need]:
    """A node group at its least, with each node's disk; of several types the first."""
    count = at(group, "scalingConfig.minSize")
    kinds = items(group, "instanceTypes")
    if not isinstance(count, int) or not count or not kinds:
        return
    bought = "spot" if at(group, "capacityType") == "SPOT" else "on-demand"
    yield Need("EC2", f"{kinds[0]} linux {bought}", group.region, count)
    for template in stack.sources(group, "launchTemplate", tokens.LAUNCH_TEMPLATE):
        sizes = [at(disk, "ebs.volumeSize") for disk in items(template, "blockDeviceMappings")]
        yield Need("EBS", "gp3", group.region, count * float(sum(size for size in sizes if isinstance(size, int))))


def by_region(usd: Mapping[tuple[str, str], float]) -> tuple[list[str], dict[str, dict[str, float]]]:
    """The regions of a bill in order, and each service's USD by region, the dearest service first."""
    regions = sorted({region for _, region in usd}, key=lambda name: (name == GLOBAL, not re.match("us-", name), name))
    services: dict[str, dict[str, float]] = {}
    for (service, region), cost in usd.items():
        services.setdefault(service, {})[region] = cost
    return regions, dict(sorted(services.items(), key=lambda row: -sum(row[1].values())))
