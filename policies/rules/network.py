"""Policies of the network: address blocks, peering, ways in and out."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import combinations
from typing import Any

from plan.record import Resource
from plan.values import is_unknown
from policies import tokens
from policies.expect import at, items, shown, wants, wants_any
from policies.policy import Finding, Later, Level, Setting, Violation, resource_policy, stack_policy
from policies.stack import Stack

ANYWHERE = ("0.0.0.0/0", "::/0")
DATASTORE_PORTS = {tokens.RDS: 5432, tokens.REDIS: 6379}
_GROUPS_OF = {tokens.RDS: "vpcSecurityGroupIds", tokens.REDIS: "securityGroupIds"}


@stack_policy(tokens.VPC)
def vpc_cidrs_disjoint(stack: Stack) -> Iterator[Finding]:
    """Two regions that share addresses cannot be peered: a shard's writes from one
    of them would reach nobody. (VPC Peering Guide, unsupported configurations)

    Fix: hal9:regions.*.cidr, blocks that do not overlap.
    """
    blocks: dict[str, IPv4Network | IPv6Network] = {}
    for vpc in stack.of(tokens.VPC):
        problem = list(
            wants(vpc, "cidrBlock", None, lambda text: _block(text) is not None, "cidrBlock an address block")
        )
        yield from problem
        if not problem:
            blocks[vpc.urn] = ip_network(at(vpc, "cidrBlock"))
    for first, second in combinations(sorted(blocks), 2):
        if blocks[first].overlaps(blocks[second]):
            one, other = stack.by_urn[first], stack.by_urn[second]
            yield Violation(
                other,
                f"cidrBlock is {blocks[second]}, which overlaps {one.name} ({blocks[first]})",
                "a block of its own",
            )


@stack_policy(tokens.PEERING, tokens.VPC)
def peering_mesh_complete(stack: Stack) -> Iterator[Finding]:
    """A pair of regions without peering, acceptance and routes both ways cuts a region's
    users off from the shards, sessions and pods of the other. (VPC Peering Guide)

    Fix: components/peering.py joins every two of hal9:regions.
    """
    vpcs = sorted(stack.of(tokens.VPC), key=lambda vpc: vpc.urn)
    joined: dict[frozenset[str], Resource] = {}
    for peering in stack.of(tokens.PEERING):
        ends = stack.sources(peering, "vpcId", tokens.VPC) + stack.sources(peering, "peerVpcId", tokens.VPC)
        joined[frozenset(end.urn for end in ends)] = peering
    for first, second in combinations(vpcs, 2):
        connection = joined.get(frozenset((first.urn, second.urn)))
        if connection is None:
            yield Violation(first, f"no peering with {second.name}", "a peering connection between the two")
            continue
        accepters = stack.users(connection, tokens.PEERING_ACCEPTER, "vpcPeeringConnectionId")
        if not any(at(accepter, "autoAccept") is True for accepter in accepters):
            yield Violation(connection, "nobody accepts it", "an accepter with autoAccept true")
        ways = {connection.urn, *(accepter.urn for accepter in accepters)}
        yield from _unrouted(stack, first, second, ways)
        yield from _unrouted(stack, second, first, ways)


def _unrouted(stack: Stack, here: Resource, there: Resource, ways: set[str]) -> Iterator[Finding]:
    """The route tables of one VPC that do not lead to another's block through a peering."""
    for table in stack.users(here, tokens.ROUTE_TABLE, "vpcId"):
        routes = stack.users(table, tokens.ROUTE, "routeTableId")
        leads = any(
            at(route, "destinationCidrBlock") == at(there, "cidrBlock")
            and ways & set(route.property_dependencies.get("vpcPeeringConnectionId", ()))
            for route in routes
        )
        if not leads:
            yield Violation(table, f"no route to {there.name}", f"{shown(at(there, 'cidrBlock'))} through the peering")


@stack_policy(
    tokens.SUBNET,
    tokens.NAT_GATEWAY,
    level=Level.ADVISORY,
    zones=Setting(3, "fewest availability zones of a region", 1),
    natPerZone=Setting(True, "whether each zone has a NAT gateway of its own"),
)
def three_azs_nat_per_az(stack: Stack, zones: int, natPerZone: bool) -> Iterator[Finding]:
    """One zone's failure takes a region down that has no other, or whose way out stands in that zone. (Well-Architected
    REL10-BP01)

    Fix: hal9:regions.*.zones and hal9:regions.*.natGateways.
    """
    for vpc in stack.of(tokens.VPC):
        subnets = stack.users(vpc, tokens.SUBNET, "vpcId")
        found = {at(subnet, "availabilityZone") for subnet in subnets}
        if len(found) < zones:
            yield Violation(vpc, f"subnets in {len(found)} zones", f"at least {zones}")
        if not natPerZone:
            continue
        exits = {
            at(subnet, "availabilityZone") for subnet in subnets if stack.users(subnet, tokens.NAT_GATEWAY, "subnetId")
        }
        if missing := found - exits:
            yield Violation(vpc, f"no NAT gateway in {', '.join(sorted(map(shown, missing)))}", "one in each zone")
        for subnet in subnets:
            for gateway in _nat_of(stack, subnet):
                places = {at(place, "availabilityZone") for place in stack.sources(gateway, "subnetId", tokens.SUBNET)}
                if places != {at(subnet, "availabilityZone")}:
                    yield Violation(
                        subnet, f"leaves through {gateway.name} of another zone", "a NAT gateway of its zone"
                    )


def _nat_of(stack: Stack, subnet: Resource) -> Iterator[Resource]:
    for route in _routes_of(stack, subnet):
        yield from stack.sources(route, "natGatewayId", tokens.NAT_GATEWAY)


def _routes_of(stack: Stack, subnet: Resource) -> Iterator[Resource]:
    """The routes of the table that a subnet is associated with."""
    for association in stack.users(subnet, tokens.ROUTE_TABLE_ASSOCIATION, "subnetId"):
        for table in stack.sources(association, "routeTableId", tokens.ROUTE_TABLE):
            yield from stack.users(table, tokens.ROUTE, "routeTableId")


@stack_policy(tokens.RDS_SUBNETS, tokens.REDIS_SUBNETS)
def rds_subnets_not_public(stack: Stack) -> Iterator[Finding]:
    """A database or Redis node in a subnet with a way to the internet is one wrong rule from being reached, or from
    sending data out. (RDS User Guide, working with a DB instance in a VPC; CKV_AWS_17)

    Fix: components/database.py and components/redis.py take the data tier's subnets.
    """
    for group in stack.of(tokens.RDS_SUBNETS, tokens.REDIS_SUBNETS):
        subnets = stack.sources(group, "subnetIds", tokens.SUBNET)
        if not subnets:
            yield Violation(group, "subnetIds are no subnets of this stack", "the data tier's subnets")
        for subnet in subnets:
            for route in _routes_of(stack, subnet):
                if at(route, "destinationCidrBlock") in ANYWHERE or at(route, "destinationIpv6CidrBlock") in ANYWHERE:
                    yield Violation(group, f"{subnet.name} has a route to the internet, {route.name}", "none")


@resource_policy(tokens.SUBNET)
def subnets_give_no_public_address(subnet: Resource) -> Iterator[Finding]:
    """A node that gets a public address by itself is on the internet without anyone having asked for it. (CKV_AWS_130)

    Fix: components/network.py, mapPublicIpOnLaunch false.
    """
    yield from wants(subnet, "mapPublicIpOnLaunch", False)


@stack_policy(tokens.RDS, tokens.REDIS)
def datastore_sg_source_restricted(stack: Stack) -> Iterator[Finding]:
    """Postgres and Redis that more than the application can reach turn any foothold into all the data. (CKV_AWS_24)

    Fix: components/data_access.py, port 5432 or 6379 from the private subnets alone, and 5432 from the databases' own.
    """
    application = [
        block
        for group in stack.of(tokens.NODE_GROUP)
        for subnet in stack.sources(group, "subnetIds", tokens.SUBNET)
        if (block := _block(at(subnet, "cidrBlock"))) is not None
    ]
    judged: set[str] = set()
    for store in stack.of(tokens.RDS, tokens.REDIS):
        groups = stack.sources(store, _GROUPS_OF[store.type], tokens.SECURITY_GROUP)
        allowed = application + (database_blocks(stack) if store.type == tokens.RDS else [])
        if not groups:
            yield Violation(store, f"{_GROUPS_OF[store.type]} are no groups of this stack", "a group of its own")
        for group in groups:
            if group.urn not in judged:
                judged.add(group.urn)
                yield from _restricted(stack, group, DATASTORE_PORTS[store.type], allowed)


def database_blocks(stack: Stack) -> list[IPv4Network | IPv6Network]:
    """The address blocks of the subnets that databases stand in."""
    subnets = [
        subnet for group in stack.of(tokens.RDS_SUBNETS) for subnet in stack.sources(group, "subnetIds", tokens.SUBNET)
    ]
    return [block for subnet in subnets if (block := _block(at(subnet, "cidrBlock"))) is not None]


@stack_policy(tokens.RDS, tokens.INGRESS, tokens.EGRESS)
def shards_reach_each_other(stack: Stack) -> Iterator[Finding]:
    """A move of slots connects from the receiving database to the sending one and back: none can start. (RDS docs)

    Fix: components/database.py, data_security_group with peers.
    """
    blocks = database_blocks(stack)
    judged: set[str] = set()
    for database in stack.of(tokens.RDS):
        for group in stack.sources(database, _GROUPS_OF[tokens.RDS], tokens.SECURITY_GROUP):
            if group.urn in judged:
                continue
            judged.add(group.urn)
            for kind, way in ((tokens.INGRESS, "from"), (tokens.EGRESS, "to")):
                rules = [
                    source
                    for rule in stack.users(group, kind, "securityGroupId")
                    if at(rule, "fromPort") == DATASTORE_PORTS[tokens.RDS]
                    and (source := _block(at(rule, "cidrIpv4"))) is not None
                ]
                for block in blocks:
                    if not any(_inside(block, source) for source in rules):
                        yield Violation(group, f"no rule {way} {block}, where databases are", f"tcp 5432 {way} {block}")


def _restricted(stack: Stack, group: Resource, port: int, application: list[Any]) -> Iterator[Finding]:
    if items(group, "ingress"):
        yield Violation(group, "ingress is written inline", "rules of their own, from the application's subnets")
    rules = stack.users(group, tokens.INGRESS, "securityGroupId")
    if not rules:
        yield Violation(group, "nothing may connect", "the application's subnets")
    for rule in rules:
        if (at(rule, "ipProtocol"), at(rule, "fromPort"), at(rule, "toPort")) != ("tcp", port, port):
            ports = f"{shown(at(rule, 'fromPort'))}-{shown(at(rule, 'toPort'))}"
            yield Violation(rule, f"ports are {shown(at(rule, 'ipProtocol'))} {ports}", f"tcp {port}")
        source = _block(at(rule, "cidrIpv4"))
        if source is None or not any(_inside(source, block) for block in application):
            yield Violation(rule, f"cidrIpv4 is {shown(at(rule, 'cidrIpv4'))}", "a subnet of the application's nodes")


@resource_policy(
    tokens.INGRESS,
    tokens.SECURITY_GROUP,
    tokens.SECURITY_GROUP_RULE,
    tokens.DEFAULT_SECURITY_GROUP,
    ports=Setting(("80", "443"), "ports that may be open to the world"),
)
def no_world_ingress_except_80_443(resource: Resource, ports: tuple[str, ...]) -> Iterator[Finding]:
    """An administration or data port that the whole world reaches is found and tried within minutes. (CKV_AWS_24,
    CKV_AWS_25, CKV_AWS_260; CIS AWS 5.2)

    Fix: components/load_balancers.py and its neighbours; name the source instead of 0.0.0.0/0.
    """
    for path, rule in _ways_in(resource):
        blocks = [
            at(rule, "cidrIpv4"),
            at(rule, "cidrIpv6"),
            *items(rule, "cidrBlocks"),
            *items(rule, "ipv6CidrBlocks"),
        ]
        for block in blocks:
            if is_unknown(block):
                yield Later(resource, f"{path}source")
            elif block is not None and (parsed := _block(block)) is not None and parsed.prefixlen == 0:
                span = (at(rule, "fromPort"), at(rule, "toPort"))
                if span[0] != span[1] or shown(span[0]) not in ports or _protocol(rule) not in ("tcp", "udp"):
                    text = f"{_protocol(rule)} {shown(span[0])}-{shown(span[1])}"
                    yield Violation(
                        resource, f"{path}{text} is open to {block}", f"at most {', '.join(ports)} for the world"
                    )


def _protocol(rule: Any) -> Any:
    return at(rule, "ipProtocol") or at(rule, "protocol")


def _ways_in(resource: Resource) -> Iterator[tuple[str, Any]]:
    """Each ingress rule that a resource holds, with its path."""
    if resource.type in (tokens.SECURITY_GROUP, tokens.DEFAULT_SECURITY_GROUP):
        yield from ((f"ingress[{index}] ", rule) for index, rule in enumerate(items(resource, "ingress")))
    elif resource.type == tokens.INGRESS or at(resource, "type") == "ingress":
        yield "", resource


@stack_policy(tokens.VPC)
def default_security_group_closed(stack: Stack) -> Iterator[Finding]:
    """What is made without a group of its own falls into the VPC's
    default one, which lets its members talk. (CKV2_AWS_12; CIS AWS 5.4)

    Fix: components/network.py takes it over with no rules.
    """
    for vpc in stack.of(tokens.VPC):
        taken = stack.users(vpc, tokens.DEFAULT_SECURITY_GROUP, "vpcId")
        if not taken:
            yield Violation(vpc, "its default security group is AWS's", "taken over, with no rules")
        for group in taken:
            for way in ("ingress", "egress"):
                if at(group, way) != []:
                    yield Violation(group, f"{way} is {shown(at(group, way))}", f"{way} with no rules")


@stack_policy(tokens.VPC)
def flow_logs_on_every_vpc(stack: Stack) -> Iterator[Finding]:
    """Without flow logs nobody can say after a breach what was reached and what was sent. (CKV2_AWS_11; CIS AWS 3.7)

    Fix: components/network.py, a FlowLog of all traffic.
    """
    for vpc in stack.of(tokens.VPC):
        logs = stack.users(vpc, tokens.FLOW_LOG, "vpcId")
        if not logs:
            yield Violation(vpc, "no flow log", "one of all traffic")
        for log in logs:
            yield from wants(log, "trafficType", "ALL")
            yield from wants_any(log, "logDestination", "a log group")


def _block(text: Any) -> IPv4Network | IPv6Network | None:
    if not isinstance(text, str) or is_unknown(text):
        return None
    try:
        return ip_network(text)
    except ValueError:
        return None


def _inside(block: IPv4Network | IPv6Network, larger: IPv4Network | IPv6Network) -> bool:
    if isinstance(block, IPv4Network) and isinstance(larger, IPv4Network):
        return block.subnet_of(larger)
    return isinstance(block, IPv6Network) and isinstance(larger, IPv6Network) and block.subnet_of(larger)


POLICIES = (
    vpc_cidrs_disjoint,
    peering_mesh_complete,
    three_azs_nat_per_az,
    rds_subnets_not_public,
    subnets_give_no_public_address,
    datastore_sg_source_restricted,
    shards_reach_each_other,
    no_world_ingress_except_80_443,
    default_security_group_closed,
    flow_logs_on_every_vpc,
)
