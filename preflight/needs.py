"""What a plan needs of an account's quotas, an upgrade of
its nodes included: arithmetic over the plan and the facts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from facts import account, instances
from plan.record import Resource
from policies import tokens
from policies.expect import at, items
from policies.stack import Stack
from preflight.finding import Finding

CHECK = "quotas"
COUNTED = {
    "elastic-ips": "aws:ec2/eip:Eip",
    "network-load-balancers": "aws:lb/loadBalancer:LoadBalancer",
    "database-instances": tokens.RDS,
    "eks-clusters": tokens.EKS,
    "vpcs": tokens.VPC,
}
"""Quotas that count resources of a type in a region."""


@dataclass(frozen=True)
class Need:
    """What one region needs of a quota: at the least (nothing scaled out), at the most, and how it came to be."""

    quota: str
    region: str
    least: int
    most: int
    why: str


def needs(stack: Stack) -> list[Need]:
    """Every need of a stack, by region and quota."""
    return sorted([*_vcpus(stack), *_counted(stack), *_cache_nodes(stack)], key=lambda need: (need.region, need.quota))


def shortfalls(stack: Stack, granted: Mapping[str, int]) -> Iterator[Finding]:
    """Where what an account was granted (in each region, by the quota's name) is less than a stack needs."""
    for need in needs(stack):
        have = granted.get(need.quota)
        if have is not None and have < need.most:
            known = account.quota(need.quota)
            short = (
                f"needs {need.least}"
                if need.least == need.most
                else f"needs {need.least} at the least, {need.most} at the most"
            )
            yield Finding(
                CHECK,
                f"hal9:quotas.{need.quota}",
                f"{need.region} {short}: {need.why}; granted are {have} {known.what}",
                account.limit_source("upgrade-surge-zones") if "vcpus" in need.quota else account.quota_source(),
                f"{need.most}, asked for with `{request(need)}`",
            )


def request(need: Need) -> str:
    """The command that asks AWS for a quota."""
    known = account.quota(need.quota)
    return (
        f"aws service-quotas request-service-quota-increase --region {need.region} --service-code {known.service} "
        f"--quota-code {known.code} --desired-value {need.most}"
    )


def table(found: list[Need]) -> str:
    """The needs as a table, with the commands for those above a fresh account's default."""
    lines = [f"  {'region':<15} {'quota':<24} {'default':>7} {'least':>6} {'most':>6}"]
    for need in found:
        known = account.quota(need.quota)
        mark = " *" if need.most > known.default else ""
        lines.append(f"  {need.region:<15} {need.quota:<24} {known.default:>7} {need.least:>6} {need.most:>6}{mark}")
    if asked := [need for need in found if need.most > account.quota(need.quota).default]:
        lines += [
            "",
            "  * above a fresh account's default; ask for them early:",
            *(f"  {request(need)}" for need in asked),
        ]
    return "\n".join(lines)


def _vcpus(stack: Stack) -> Iterator[Need]:
    """Nodes and what a rolling update adds: twice a group's zones, or what may be away at once if that is more."""
    groups: dict[tuple[str, str], list[Resource]] = defaultdict(list)
    for group in stack.of(tokens.NODE_GROUP):
        spot = at(group, "capacityType") == "SPOT"
        groups[group.region, "vcpus-spot" if spot else "vcpus-on-demand"].append(group)
    for (region, quota), held in groups.items():
        least = most = nodes = highest = surge = vcpus = 0
        for group in held:
            sizes = [size for size in (instances.size(str(name)) for name in items(group, "instanceTypes")) if size]
            each = max((size.vcpus for size in sizes), default=0)
            low, high = _whole(at(group, "scalingConfig.minSize")), _whole(at(group, "scalingConfig.maxSize"))
            away = math.ceil(high * _whole(at(group, "updateConfig.maxUnavailablePercentage")) / 100)
            more = max(
                account.limit("upgrade-surge-zones") * max(1, len(items(group, "subnetIds"))),
                away,
                _whole(at(group, "updateConfig.maxUnavailable")),
            )
            least, most = least + (low + more) * each, most + (high + more) * each
            nodes, highest, surge, vcpus = nodes + low, highest + high, surge + more, max(vcpus, each)
        why = f"({nodes} to {highest} nodes + {surge} that an upgrade of them adds) x {vcpus} vCPUs"
        yield Need(quota, region, least, most, why)


def _counted(stack: Stack) -> Iterator[Need]:
    for quota, token in COUNTED.items():
        for region, held in _by_region(stack, token).items():
            yield Need(quota, region, len(held), len(held), f"{len(held)} in the plan")


def _cache_nodes(stack: Stack) -> Iterator[Need]:
    for region, held in _by_region(stack, tokens.REDIS).items():
        count = 0
        for group in held:
            shards, each = at(group, "numNodeGroups"), _whole(at(group, "replicasPerNodeGroup")) + 1
            count += _whole(shards) * each if shards is not None else max(1, _whole(at(group, "numCacheClusters")))
        yield Need("cache-nodes", region, count, count, f"{count} nodes of {len(held)} groups")


def _by_region(stack: Stack, token: str) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = defaultdict(list)
    for resource in stack.of(token):
        found[resource.region].append(resource)
    return found


def _whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0
