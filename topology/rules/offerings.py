"""Rules of what AWS has: types that are sold in a region's zones, versions in support, regions that backups go to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from facts import account, databases, instances, kubernetes
from facts.table import table
from topology import catalog
from topology.settings import Region
from topology.stackfile import Mistake, listed, unknown
from topology.topology import Topology


def types_sold(topology: Topology) -> Iterator[Mistake]:
    """Each node type is sold in every zone of a region: EKS refuses a
    group with one that is not, and its region is empty.
    """
    for region in topology.ordered_regions:
        known = instances.zones(region.aws_region) or []
        zones = [zone for zone in region.zones if zone in known]  # others are refused by the rule of zones
        for path, types in _types(topology, region):
            for name in types:
                selling = instances.zones_selling(region.aws_region, name)
                if selling is None or catalog.instance_size(name) is None:
                    continue  # unknown, which is another rule's to say
                if missing := [zone for zone in zones if zone not in selling]:
                    near = instances.nearest(name, region.aws_region, zones, but=types)
                    right = f"{near} is" if near else "another type"
                    yield Mistake(
                        path,
                        f"{name} is not sold in {listed(missing)} ({instances.source()}); {right}",
                        rests_on=(f"regions.{region.name}.awsRegion", f"regions.{region.name}.zones"),
                    )


def types_of_a_region(topology: Topology) -> Iterator[Mistake]:
    """A region's own types are of the size and architecture that everything is counted by."""
    wanted = catalog.instance_size(topology.cluster.on_demand.instance_type)
    for region in topology.ordered_regions:
        for path, types in _types(topology, region):
            for name in types:
                size = catalog.instance_size(name)
                if path.startswith("cluster.spot") or (path.startswith("cluster") and size is None):
                    continue  # the rules of capacity say it
                if size is None:
                    yield Mistake(path, f"{name!r} is no known instance type such as m6i.2xlarge")
                elif (
                    wanted
                    and path.endswith(("onDemand.otherInstanceTypes", "onDemandInstanceTypes"))
                    and size != wanted
                ):
                    yield Mistake(
                        path,
                        f"{name} has {size.vcpus} vCPUs, {size.memory_gib:g} GiB, {size.architecture}; "
                        "all on-demand nodes "
                        f"are counted as {topology.cluster.on_demand.instance_type}: {wanted.vcpus} vCPUs, "
                        f"{wanted.memory_gib:g} GiB, {wanted.architecture}",
                        rests_on=("cluster.onDemand.instanceType",),
                    )
                elif wanted and size.architecture != wanted.architecture:
                    yield Mistake(
                        path,
                        f"{name} is {size.architecture}, the on-demand nodes {wanted.architecture}; the "
                        "image is built for one",
                        rests_on=("cluster.onDemand.instanceType",),
                    )


def version_supported(topology: Topology) -> Iterator[Mistake]:
    """A version past its standard support is upgraded by AWS itself, and the stack file then asks for a downgrade."""
    version = topology.cluster.version
    end, read = kubernetes.supported_until(version), date.fromisoformat(table("kubernetes").date)
    if end and end < read:
        yield Mistake(
            "cluster.version",
            f"{version} left standard support on {end} ({kubernetes.source()}); "
            f"{kubernetes.supported(read)[0]} is the oldest that has it",
        )


def backups_paired(topology: Topology) -> Iterator[Mistake]:
    """RDS replicates automated backups between some pairs of regions only."""
    homes = {shard.home for shard in topology.shards}
    for region in topology.ordered_regions:
        path, named = f"regions.{region.name}.backupRegion", region.backup_region
        if named is not None and (named == region.name or named not in topology.regions):
            own = f"{named} is the region itself; backups go to another"
            yield Mistake(path, own if named == region.name else unknown(named, "region", topology.region_names))
            continue
        target, allowed = topology.backup_region(region.name), databases.backup_regions(region.aws_region)
        if region.name not in homes or target is None or allowed is None:
            continue
        where = topology.regions[target].aws_region
        if where not in allowed and where != region.aws_region and databases.backup_regions(where) is not None:
            near = [r.name for r in topology.others(region.name) if r.aws_region in allowed]
            right = f"; {listed(near)} can" if near else f"; {listed(sorted(allowed))} could"
            yield Mistake(
                path,
                f"RDS does not replicate backups from {region.aws_region} to {where} "
                f"({databases.backup_source()}){right}",
                rests_on=(f"regions.{region.name}.awsRegion", f"regions.{target}.awsRegion"),
            )


def quotas_known(topology: Topology) -> Iterator[Mistake]:
    """What was granted is of a quota that is known here."""
    for name in topology.quotas:
        if name not in account.quotas():
            yield Mistake(f"quotas.{name}", unknown(name, "quota", sorted(account.quotas())))


RULES = (quotas_known, types_sold, types_of_a_region, version_supported, backups_paired)


def _types(topology: Topology, region: Region) -> list[tuple[str, Sequence[str]]]:
    """The types that a region's nodes may be of, each list with the path that it comes from."""
    nodes, own = topology.cluster, f"regions.{region.name}"
    found: list[tuple[str, Sequence[str]]] = []
    if region.on_demand_instance_types is not None:
        found.append((f"{own}.onDemandInstanceTypes", region.on_demand_instance_types))
    else:
        found.append(("cluster.onDemand.instanceType", [nodes.on_demand.instance_type]))
        found.append(("cluster.onDemand.otherInstanceTypes", nodes.on_demand.other_instance_types or ()))
    if region.spot_instance_types is not None:
        found.append((f"{own}.spotInstanceTypes", region.spot_instance_types))
    else:
        found.append(("cluster.spot.instanceTypes", nodes.spot.instance_types))
    return found
