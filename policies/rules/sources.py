"""Policies of where packets may come from and go to, whatever the
rule they are written as: groups, blocks, lists, routes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from typing import Any

from plan.record import Resource
from plan.values import is_unknown
from policies import tokens
from policies.expect import at, items, shown
from policies.policy import Finding, Violation, stack_policy
from policies.rules.network import DATASTORE_PORTS, database_blocks
from policies.stack import Stack
from topology.catalog import CLOUDFRONT_PREFIX_LISTS
from topology.stackfile import NAMESPACE

_GROUPS_OF = {tokens.RDS: "vpcSecurityGroupIds", tokens.REDIS: "securityGroupIds"}
_ROUTE_ENDS = tuple(
    """
    carrierGatewayId coreNetworkArn egressOnlyGatewayId gatewayId localGatewayId natGatewayId networkInterfaceId
    odbNetworkArn transitGatewayId vpcEndpointId vpcPeeringConnectionId
    """.split()
)


def _blocks(stack: Stack) -> list[IPv4Network]:
    """The VPCs' own address blocks."""
    found = [at(vpc, "cidrBlock") for vpc in stack.of(tokens.VPC)]
    return [block for text in found if (block := _block(text)) is not None]


def _block(text: Any) -> IPv4Network | None:
    try:
        block = ip_network(text) if isinstance(text, str) and not is_unknown(text) else None
    except ValueError:
        return None
    return block if isinstance(block, IPv4Network) else None


def _inside(text: Any, blocks: list[IPv4Network]) -> bool:
    block = _block(text)
    return block is not None and any(block.subnet_of(other) for other in blocks)


def _operators(stack: Stack) -> list[Any]:
    """The networks from which operators reach the clusters' private endpoints, as the stack file lists them."""
    found = json.loads(stack.config.get(f"{NAMESPACE}:cluster", "{}")).get("operatorCidrs", [])
    return [text for text in found if (block := _block(text)) is not None and block.is_private]


@stack_policy(tokens.INGRESS, tokens.SECURITY_GROUP)
def ingress_from_named_sources(stack: Stack) -> Iterator[Finding]:
    """A port that takes anybody, half of the internet, a list of somebody else's or
    a foreign group is found within minutes. (CIS AWS 5.2, 5.3; CKV_AWS_24, 25, 260)

    Fix: components/load_balancers.py and its neighbours; a group of
    this stack, a block of its VPCs, or CloudFront's prefix list.
    """
    blocks = _blocks(stack)
    public = {
        group.urn
        for balancer in stack.of(tokens.LOAD_BALANCER)
        if at(balancer, "internal") is False
        for group in stack.sources(balancer, "securityGroups", tokens.SECURITY_GROUP)
    }
    for rule in stack.of(tokens.INGRESS):
        groups = stack.sources(rule, "securityGroupId", tokens.SECURITY_GROUP)
        if not groups:
            yield Violation(rule, "securityGroupId is none of this stack's", "a group of this stack")
        if at(rule, "cidrIpv6") is not None:
            yield Violation(rule, f"its source is {shown(at(rule, 'cidrIpv6'))}", "no IPv6: the VPCs have none")
        source = at(rule, "cidrIpv4")
        operators = source in _operators(stack) and at(rule, "fromPort") == at(rule, "toPort") == 443
        if source is not None and not _inside(source, blocks) and not operators:
            yield Violation(rule, f"its source is {shown(source)}", "a block inside one of the stack's VPCs")
        prefixes = at(rule, "prefixListId")
        edge = prefixes == CLOUDFRONT_PREFIX_LISTS.get(rule.region) and any(group.urn in public for group in groups)
        if prefixes is not None and not edge:
            yield Violation(
                rule, f"its source is the list {shown(prefixes)}", "CloudFront's, at a public load balancer alone"
            )
        reference = at(rule, "referencedSecurityGroupId")
        if at(rule, "ipProtocol") == "-1" and groups != stack.sources(rule, "referencedSecurityGroupId"):
            yield Violation(
                rule, "takes every protocol", "the protocol and ports that are used, but for a group's own members"
            )
        own = stack.sources(rule, "referencedSecurityGroupId", tokens.SECURITY_GROUP)
        if reference is not None and (not own or "/" in str(reference)):  # account/group is another account's
            yield Violation(rule, "its source is a group of somebody else's", "a group of this stack")


def _to_databases(rule: Resource, blocks: list[Any]) -> bool:
    """Whether a way out leads to databases alone, by their own port."""
    port = DATASTORE_PORTS[tokens.RDS]
    target = _block(at(rule, "cidrIpv4"))
    ends = (at(rule, "ipProtocol"), at(rule, "fromPort"), at(rule, "toPort"))
    return ends == ("tcp", port, port) and target is not None and any(target.subnet_of(block) for block in blocks)


@stack_policy(tokens.RDS, tokens.REDIS)
def datastores_closed(stack: Stack) -> Iterator[Finding]:
    """A database that may call out sends its rows to whoever runs code in it; a second
    group lets in what the first does not. (CKV_AWS_382; Well-Architected SEC05-BP02)

    Fix: components/database.py and components/redis.py, one group of the stack's
    own, and no way out but from databases to databases, as moves of slots need.
    """
    closed: dict[str, Resource] = {}
    for store in stack.of(tokens.RDS, tokens.REDIS):
        path = _GROUPS_OF[store.type]
        groups = stack.sources(store, path, tokens.SECURITY_GROUP)
        closed |= {group.urn: group for group in groups}
        if len(items(store, path)) != 1 or len(groups) != 1:
            yield Violation(store, f"{path} has {len(items(store, path))} groups", "one group of this stack")
        for name in ("securityGroupNames", "dbSecurityGroups"):
            if at(store, name):
                yield Violation(store, f"{name} is {shown(at(store, name))}", f"no {name}")
    databases = {
        group.urn
        for database in stack.of(tokens.RDS)
        for group in stack.sources(database, _GROUPS_OF[tokens.RDS], tokens.SECURITY_GROUP)
    }
    blocks = database_blocks(stack)
    for rule in stack.of(tokens.EGRESS):
        sending = {group.urn for group in stack.sources(rule, "securityGroupId", tokens.SECURITY_GROUP)}
        if sending & closed.keys() and not (sending <= databases and _to_databases(rule, blocks)):
            yield Violation(rule, f"a data store may send to {shown(at(rule, 'cidrIpv4'))}", "no way out")
    for group in closed.values():
        if items(group, "egress"):
            yield Violation(group, "egress is written inline", "no way out")


@stack_policy(tokens.ROUTE, tokens.RDS_SUBNETS)
def data_routes_stay_inside(stack: Stack) -> Iterator[Finding]:
    """A data subnet with a way to anywhere but the stack's own VPCs can be emptied through
    it: half of the internet is two routes. (Well-Architected SEC05-BP01; CKV_AWS_17)

    Fix: components/network.py and components/peering.py, routes of the data tier through the peering alone.
    """
    blocks = _blocks(stack)
    tables: dict[str, Resource] = {}
    for group in stack.of(tokens.RDS_SUBNETS, tokens.REDIS_SUBNETS):
        for subnet in stack.sources(group, "subnetIds", tokens.SUBNET):
            for association in stack.users(subnet, tokens.ROUTE_TABLE_ASSOCIATION, "subnetId"):
                tables |= {table.urn: table for table in stack.sources(association, "routeTableId", tokens.ROUTE_TABLE)}
    for table in tables.values():
        if items(table, "routes"):
            yield Violation(table, "routes are written inline", "routes of their own")
        for route in stack.users(table, tokens.ROUTE, "routeTableId"):
            ends = [name for name in _ROUTE_ENDS if at(route, name) is not None]
            if ends != ["vpcPeeringConnectionId"]:
                yield Violation(route, f"leads through {', '.join(ends) or 'nothing'}", "the peering alone")
            lists = [at(route, name) for name in ("destinationPrefixListId", "destinationIpv6CidrBlock")]
            if not _inside(at(route, "destinationCidrBlock"), blocks) or any(lists):
                leads = (
                    at(route, "destinationCidrBlock")
                    or at(route, "destinationPrefixListId")
                    or at(route, "destinationIpv6CidrBlock")
                )
                yield Violation(route, f"leads to {shown(leads)}", "another region's VPC")


POLICIES = (ingress_from_named_sources, datastores_closed, data_routes_stay_inside)
