"""Policies of clusters and nodes, and of how much they must carry."""

from __future__ import annotations

import math
from collections.abc import Iterator

from plan.record import Resource
from plan.values import is_unknown
from policies import tokens
from policies.expect import at, items, shown, wants, wants_any, wants_one_of
from policies.policy import Finding, Later, Setting, Violation, resource_policy, stack_policy
from policies.rules import pods
from policies.stack import Stack
from topology import catalog

EKS_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")


@resource_policy(
    tokens.NODE_GROUP,
    pools=Setting(5, "fewest instance types of a spot group", 1),
    families=Setting(("m5", "m5a", "m5n", "m6i", "m6a", "m7i", "m7a"), "instance families that nodes may be of"),
)
def spot_pools_diversified(group: Resource, pools: int, families: tuple[str, ...]) -> Iterator[Finding]:
    """Spot capacity of one type is reclaimed all at once; types of several sizes
    make the autoscaler count wrongly. (EKS Best Practices, cost optimization)

    Fix: hal9:cluster.spot.instanceTypes, five or more of one size; hal9:cluster.onDemand.instanceType.
    """
    kinds = items(group, "instanceTypes")
    strange = sorted({str(kind) for kind in kinds if str(kind).partition(".")[0] not in families})
    if strange or not kinds:
        found = ", ".join(strange) or shown(at(group, "instanceTypes"))
        yield Violation(group, f"instanceTypes has {found}", f"types of {', '.join(families)}")
    if at(group, "capacityType") == "ON_DEMAND":
        return
    yield from wants(group, "capacityType", "SPOT")
    if len(set(kinds)) < pools:
        yield Violation(group, f"instanceTypes has {len(set(kinds))} types", f"at least {pools}")
    sizes = {str(kind).partition(".")[2] for kind in kinds}
    if len(sizes) > 1:
        yield Violation(group, f"instanceTypes has sizes {', '.join(sorted(sizes))}", "one size")


@stack_policy(tokens.NODE_GROUP, zones=Setting(3, "fewest zones that a region's nodes of a kind are in", 1))
def nodes_in_every_zone(stack: Stack, zones: int) -> Iterator[Finding]:
    """A region whose nodes are all in one zone is lost with it; a group over several zones strands the disks of a zone
    in which it has no node. (EKS Best Practices, cluster autoscaling)

    Fix: hal9:regions.*.zones; the groups are components/nodes.py's.
    """
    held: dict[tuple[str, str], set[str]] = {}
    first: dict[tuple[str, str], Resource] = {}
    for group in stack.of(tokens.NODE_GROUP):
        kind = (group.region, str(at(group, "capacityType")))
        first.setdefault(kind, group)
        subnets = stack.sources(group, "subnetIds", tokens.SUBNET)
        held.setdefault(kind, set()).update(str(at(subnet, "availabilityZone")) for subnet in subnets)
        if len(subnets) != 1:
            yield Violation(group, f"subnetIds has {len(subnets)} of this stack's subnets", "one: a group a zone")
    for kind, found in held.items():
        if len(found) < zones:
            yield Violation(
                first[kind], f"the {kind[1]} nodes of {kind[0]} are in {len(found)} zones", f"{zones} zones"
            )


@stack_policy(tokens.NODE_GROUP, tokens.AUTOSCALER)
def on_demand_floor(stack: Stack) -> Iterator[Finding]:
    """A reclaim of every spot node at once must leave the pods that
    the minimum promises a place to run. (EKS Best Practices, spot)

    Fix: hal9:cluster.onDemand.minNodes, or hal9:autoscaling.minReplicas.
    """
    for autoscaler in stack.of(tokens.AUTOSCALER):
        workload = pods.target_of(stack, autoscaler)
        if workload is None:
            yield Violation(autoscaler, "scaleTargetRef names no Deployment of its cluster", "one that is there")
            continue
        cpu, memory = pods.requests(workload)
        groups = [g for g in stack.of(tokens.NODE_GROUP) if g.region == autoscaler.region]
        floor = 0
        for group in groups:
            size = catalog.instance_size(str(at(group, "instanceTypes[0]")))
            nodes = at(group, "scalingConfig.minSize")
            if at(group, "capacityType") == "ON_DEMAND" and size and isinstance(nodes, int | float) and cpu and memory:
                floor += int(nodes) * catalog.pods_on_node(size, cpu, memory)
        wanted = at(autoscaler, "spec.minReplicas")
        if not isinstance(wanted, int | float) or floor < wanted:
            words = f"on-demand nodes for minReplicas {shown(wanted)}"
            yield Violation(autoscaler, f"the on-demand nodes of {autoscaler.region} hold {floor} pods", words)


@stack_policy(
    tokens.AUTOSCALER,
    users=Setting(1000, "users that the surviving regions must carry", 1),
    usersPerPod=Setting(50, "users that a pod carries; cautious where a stack's file has no measured figure", 1),
)
def region_capacity_n_minus_1(stack: Stack, users: int, usersPerPod: int) -> Iterator[Finding]:
    """When a region is lost, new pods come too late: the others must carry everybody from what already runs, at what a
    pod was measured to carry and not at the autoscaler's target. (Well-Architected REL11-BP05)

    Fix: hal9:autoscaling.minReplicas, or another of hal9:regions.
    """
    floors = {a.region: at(a, "spec.minReplicas") for a in stack.of(tokens.AUTOSCALER)}
    for autoscaler in stack.of(tokens.AUTOSCALER):
        left = [floor for region, floor in floors.items() if region != autoscaler.region]
        if any(not isinstance(floor, int | float) for floor in left):
            yield Violation(autoscaler, "another region's minReplicas is not known", "a number in every region")
            continue
        carried = int(sum(left)) * usersPerPod
        if carried < users:
            found = f"without {autoscaler.region} {int(sum(left))} pods carry {carried} users"
            yield Violation(autoscaler, found, f"{users} users at {usersPerPod} a pod")


@stack_policy(tokens.RDS_PARAMETERS, tokens.AUTOSCALER)
def connection_budget(stack: Stack) -> Iterator[Finding]:
    """Pods that may open more connections than Postgres takes are refused when
    there are most of them: at the peak. (RDS User Guide, max_connections)

    Fix: hal9:pools.size, hal9:autoscaling.maxReplicas or hal9:database.maxConnections.
    """
    peak = 0
    for autoscaler in stack.of(tokens.AUTOSCALER):
        workload = pods.target_of(stack, autoscaler)
        highest, surge = at(autoscaler, "spec.maxReplicas"), pods.surge(workload) if workload else None
        if not isinstance(highest, int | float) or surge is None:
            yield Violation(
                autoscaler, "the most pods that it makes cannot be told", "maxReplicas and a surge in percent"
            )
            return
        peak += int(highest) + math.ceil(int(highest) * surge / 100)
    size = pods.pool_size(stack)
    if size is None:
        yield from (Later(group, "the deployment document's pools") for group in stack.of(tokens.RDS_PARAMETERS))
        return
    for group in stack.of(tokens.RDS_PARAMETERS):
        found = {at(p, "name"): at(p, "value") for p in items(group, "parameters")}.get("max_connections")
        if is_unknown(found) or not str(found).isdigit() or int(str(found)) < peak * size:
            words = f"at least {peak * size}: {peak} pods of all regions with {size} connections each"
            yield Violation(group, f"max_connections is {shown(found)}", words)


@resource_policy(
    tokens.EKS, versions=Setting(("1.33", "1.34", "1.35"), "Kubernetes versions that EKS supports without extra charge")
)
def eks_private_logged_encrypted(cluster: Resource, versions: tuple[str, ...]) -> Iterator[Finding]:
    """A control plane that anybody can reach, without an audit log, is taken over unseen; secrets in clear in etcd go
    with every backup of it. (CIS-EKS 5.1, 5.3, 5.4; CKV_AWS_37, CKV_AWS_38, CKV_AWS_39, CKV_AWS_58, CKV_AWS_339)

    Fix: hal9:cluster.publicAccessCidrs and hal9:cluster.version; the rest is components/cluster.py's.
    """
    yield from wants(cluster, "vpcConfig.endpointPrivateAccess", True)
    public, blocks = at(cluster, "vpcConfig.endpointPublicAccess"), items(cluster, "vpcConfig.publicAccessCidrs")
    if public is not False and (not blocks or "0.0.0.0/0" in blocks or "::/0" in blocks):
        yield Violation(
            cluster, f"vpcConfig.endpointPublicAccess is {shown(public)} for anybody", "private, or listed CIDRs"
        )
    if missing := set(EKS_LOGS) - set(items(cluster, "enabledClusterLogTypes")):
        yield Violation(cluster, f"enabledClusterLogTypes lacks {', '.join(sorted(missing))}", "all five")
    yield from wants_any(cluster, "encryptionConfig.provider.keyArn", "a customer key for secrets")
    yield from wants(cluster, "encryptionConfig.resources", ["secrets"])
    yield from wants_one_of(cluster, "version", versions)
    yield from wants(cluster, "accessConfig.authenticationMode", "API")
    yield from wants(cluster, "accessConfig.bootstrapClusterCreatorAdminPermissions", False)


@stack_policy(tokens.NODE_GROUP)
def nodes_hardened(stack: Stack) -> Iterator[Finding]:
    """From a pod, metadata of version 1 or two hops away gives the node's role to any request forgery; disks in clear
    give their content to whoever gets a snapshot. (CKV_AWS_79, CKV_AWS_341; CIS-EKS 5.2.1)

    Fix: components/nodes.py, the launch template.
    """
    for group in stack.of(tokens.NODE_GROUP):
        if not stack.sources(group, "launchTemplate", tokens.LAUNCH_TEMPLATE):
            yield Violation(group, "launchTemplate is none of this stack's", "one with IMDSv2 alone")
    for template in stack.of(tokens.LAUNCH_TEMPLATE):
        yield from wants(template, "metadataOptions.httpTokens", "required")
        yield from wants(template, "metadataOptions.httpPutResponseHopLimit", 1)
        for index, _ in enumerate(items(template, "blockDeviceMappings") or [None]):
            path = f"blockDeviceMappings[{index}].ebs"
            yield from wants(template, f"{path}.encrypted", "true")
            yield from wants_any(template, f"{path}.kmsKeyId", "a customer key")


@stack_policy(tokens.AUTOSCALER, tokens.DEPLOYMENT)
def single_autoscaler_per_workload(stack: Stack) -> Iterator[Finding]:
    """Two autoscalers of one workload, or an autoscaler beside a fixed number,
    undo each other's work for ever. (Kubernetes, HorizontalPodAutoscaler)

    Fix: one HorizontalPodAutoscaler with several metrics, and no spec.replicas (components/manifests).
    """
    taken: dict[tuple[str, str, str, str], Resource] = {}
    for autoscaler in stack.of(tokens.AUTOSCALER, tokens.SCALED_OBJECT, tokens.VERTICAL_AUTOSCALER):
        if autoscaler.type == tokens.VERTICAL_AUTOSCALER and at(autoscaler, "spec.updatePolicy.updateMode") == "Off":
            continue  # it only recommends
        key = pods.target_key(autoscaler)
        if (first := taken.setdefault(key, autoscaler)) is not autoscaler:
            yield Violation(autoscaler, f"{key[2]} {key[3]} is {first.name}'s already", "one autoscaler a workload")
        workload = pods.target_of(stack, autoscaler)
        if workload is not None and autoscaler.type == tokens.AUTOSCALER and at(workload, "spec.replicas") is not None:
            yield Violation(
                workload, f"spec.replicas is {shown(at(workload, 'spec.replicas'))}", "none beside an autoscaler"
            )


POLICIES = (
    spot_pools_diversified,
    nodes_in_every_zone,
    on_demand_floor,
    region_capacity_n_minus_1,
    connection_budget,
    eks_private_logged_encrypted,
    nodes_hardened,
    single_autoscaler_per_workload,
)
