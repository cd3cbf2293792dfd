"""Rules of the database: slots, homes, replicas, connections, storage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from app.databases import slots
from app.deployment import SLOTS, KeyRange
from topology import budget, catalog
from topology.instances import SECOND
from topology.stackfile import Mistake, unknown_region
from topology.topology import Topology


def slots_covered(topology: Topology) -> Iterator[Mistake]:
    """The shards' ranges cover slots 0 to 999, each once."""
    ranges = [keys for shard in topology.shards for keys in shard.key_ranges]
    paths = [
        f"shards[{number}].slots[{index}]"
        for number, shard in enumerate(topology.shards)
        for index in range(len(shard.key_ranges))
    ]
    found = slots.cover(ranges)
    for place in found.outside:
        yield Mistake(paths[place], f"{_text(ranges[place])} is no range within 0-{SLOTS - 1}")
    for place, taken in found.overlaps:
        other = found.owner[taken[0]]
        run = slots.runs(slot for slot in taken if found.owner[slot] == other)[0]
        text = f"{_text(ranges[place])} overlaps {paths[other]} in {_named(run)}"
        yield Mistake(paths[place], text, rests_on=(paths[other],))
    if found.outside:
        return  # what they were meant to cover is not known
    if not ranges:
        yield Mistake("shards", f"no shard has slots; together they have 0-{SLOTS - 1}")
        return
    for run in slots.runs(found.free):
        beside = found.owner[run.start - 1 if run.start else run.end + 1]
        yield Mistake(
            paths[beside],
            f"{_text(ranges[beside])} leaves {_named(run)} without a shard",
            rests_on=tuple(f"shards[{number}].slots" for number in range(len(topology.shards))),
        )


def shards_placed(topology: Topology) -> Iterator[Mistake]:
    """Each shard has an id of its own and a home that exists."""
    count = Counter(shard.id for shard in topology.shards)
    first: dict[int, int] = {}
    for number, shard in enumerate(topology.shards):
        if shard.id in first:
            free = next(i for i in range(SLOTS) if i not in count)
            yield Mistake(
                f"shards[{number}].id",
                f"{shard.id} is shards[{first[shard.id]}]'s already; free is {free}",
                rests_on=(f"shards[{first[shard.id]}].id",),
            )
        first.setdefault(shard.id, number)
        for path, region in (("home", shard.home), ("primary", shard.at)):
            if region not in topology.regions:
                if path == "home" or region != shard.home:
                    yield unknown_region(f"shards[{number}].{path}", region, topology.region_names)
            elif topology.regions[region].leaving and (path == "home" or region != shard.home):
                yield Mistake(
                    f"shards[{number}].{path}",
                    f"{region} is leaving, and a shard lives there; its slots move first, or its primary "
                    "and then its home",
                    rests_on=(f"regions.{region}.leaving",),
                )
        for place in shard.generations:
            if place.removesuffix(f"-{SECOND}") not in topology.regions:
                yield unknown_region(f"shards[{number}].generations.{place}", place, topology.region_names)


def moves_between_shards(topology: Topology) -> Iterator[Mistake]:
    """A receipt names slots that there are, and two shards."""
    for number, move in enumerate(topology.database.moves):
        path = f"database.moves[{number}]"
        if move.source == move.target:
            yield Mistake(f"{path}.to", f"{move.target} is where the slots came from")
        if any(slot >= SLOTS for slot in move.numbers) or not move.numbers:
            yield Mistake(f"{path}.slots", f"{', '.join(move.slots)} is no range within 0-{SLOTS - 1}")
        if move.epoch > topology.database.map_epoch:
            yield Mistake(
                "database.mapEpoch",
                f"{topology.database.map_epoch} is older than the move of epoch {move.epoch} in {path}",
                rests_on=(path,),
            )


def replication(topology: Topology) -> Iterator[Mistake]:
    """A shard has at most one replica in each region, and a region's loss leaves a copy elsewhere."""
    factor, regions = topology.database.replication_factor, len(topology.staying)
    if factor is None:
        return
    if factor > regions:
        yield Mistake(
            "database.replicationFactor",
            f"{factor} replicas are one in each region, and {regions} "
            f"{'stays' if regions == 1 else 'stay'}: at most {regions}",
            rests_on=("regions",),
        )
    elif factor < regions - 1:
        yield Mistake(
            "database.replicationFactor",
            f"{factor} leaves a region without a copy of a shard; {regions} regions need at least {regions - 1}",
            rests_on=("regions",),
        )


def connections(topology: Topology) -> Iterator[Mistake]:
    """All pods' pools together stay below the server's `max_connections`, and that within what its class holds."""
    database, pods = topology.database, budget.connecting_pods(topology)
    most = catalog.default_max_connections(database.instance_class)
    if most is None:
        yield Mistake(
            "database.instanceClass", f"{database.instance_class!r} is no known RDS class such as db.r6g.2xlarge"
        )
    elif database.instance_class in catalog.NO_INSIGHTS:
        yield Mistake(
            "database.instanceClass",
            f"{database.instance_class} is too small for Performance Insights, which every database has; "
            "db.t4g.medium or larger",
        )
    if most is not None and database.max_connections > most:
        yield Mistake(
            "database.maxConnections",
            f"{database.max_connections} is more than {database.instance_class} holds; at most {most}",
            rests_on=("database.instanceClass",),
        )
    available = database.max_connections - database.reserved_connections
    if (wanted := topology.pools.size or 1) * pods > available:
        right = f"at most {available // pods} a pod" if available >= pods else "more connections, or fewer pods"
        yield Mistake(
            "pools.size" if topology.pools.size and available >= pods else "database.maxConnections",
            f"{pods} pods x {wanted} connections = {pods * wanted} is over the budget of {available} (maxConnections "
            f"{database.max_connections} - reservedConnections {database.reserved_connections}); {right}",
            rests_on=(
                "autoscaling.maxReplicas",
                "database.maxConnections",
                "database.reservedConnections",
                "pools.size",
                "regions",
                "server.maxSurgePercent",
            ),
        )
    if topology.pools.size and topology.pools.size > topology.pools.max_connections:
        yield Mistake(
            "pools.size",
            f"{topology.pools.size} is above pools.maxConnections {topology.pools.max_connections}",
            rests_on=("pools.maxConnections",),
        )


def storage(topology: Topology) -> Iterator[Mistake]:
    """Storage may only grow, and a replication slot that nobody reads may not fill it."""
    database = topology.database
    if database.max_storage_gib < database.storage_gib:
        yield Mistake(
            "database.maxStorageGib",
            f"{database.max_storage_gib} is below storageGib {database.storage_gib}",
            rests_on=("database.storageGib",),
        )
    elif database.wal_limit_mib > (most := database.max_storage_gib * 1024 // 2):
        yield Mistake(
            "database.slotWalLimitMib",
            f"{database.wal_limit_mib} is more than half of maxStorageGib {database.max_storage_gib}: a slot that "
            f"nobody reads would fill the disk; at most {most}",
            rests_on=("database.maxStorageGib",),
        )


RULES = (slots_covered, shards_placed, moves_between_shards, replication, connections, storage)


def _text(keys: KeyRange) -> str:
    return f"{keys.start}-{keys.end}"


def _named(run: KeyRange) -> str:
    return f"slot {run.start}" if run.start == run.end else f"slots {run.start} to {run.end}"
