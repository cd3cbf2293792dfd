"""Faults: what can go wrong in the lab, injected by name and healed
again, on the running lab's own processes and links.

`python -m lab fault NAME` injects one under load and judges what came of it (lab/command.py).
"""

from __future__ import annotations

import asyncio

import asyncpg

from lab.faults import links, processes, regions, shards
from lab.faults.fault import Fault, Say, nothing, victim
from lab.lab import Lab
from lab.load import judge
from lab.parts import Part, postgres_of

__all__ = ["FAULTS", "Fault", "heal", "inject", "replica_lag", "victim"]

FAULTS = {
    "region-killed": Fault(
        "the other regions go on for all users, writes wait for the promotion of a replica; "
        "lost is at most what had not reached another region",
        regions.kill_region,
        regions.revive_region,
        judge.region_lost,
        asynchronous=True,
    ),
    "region-isolated": Fault(
        "never two primaries of a shard; its users read on and write again when it is joined, the others "
        "notice nothing",
        regions.isolate,
        regions.rejoin,
        judge.region_isolated,
        asynchronous=True,
    ),
    "app-killed": Fault(
        "nginx passes its users on; only requests in flight may fail",
        processes.kill_app,
        processes.revive_app,
        judge.only_in_flight,
    ),
    "primary-killed": Fault(
        "the standby takes over; no acknowledged write is lost, as the standby is synchronous, and none "
        "is applied twice",
        shards.fail_over,
        shards.rebuild_standby,
        judge.primary_lost,
    ),
    "sessions-killed": Fault(
        "its users are found in the copies of other regions or told 503 while it is away, never signed out",
        processes.kill_sessions,
        processes.revive_sessions,
        judge.sessions_lost,
    ),
    "link-cut": Fault("users at home notice nothing", links.cut, links.join, judge.link_hurt),
    "link-cut-one-way": Fault("users at home notice nothing", links.cut_one_way, links.join, judge.link_hurt),
    "link-flapping": Fault("users at home notice nothing", links.flap, links.join, judge.link_hurt),
    "connections-exhausted": Fault(
        "who is refused is told 503 at once; its primary serves again as soon as there are connections",
        shards.exhaust,
        shards.give_back,
        judge.sheds,
    ),
    "slots-moved": Fault(
        "no request fails, and no write is lost or applied twice",
        shards.move_slots,
        shards.move_back,
        judge.nothing_fails,
    ),
    "link-slow": Fault("users at home notice nothing", links.slow, links.fast, judge.link_hurt),
    "rolling-deploy": Fault("no request fails", processes.roll, nothing, judge.nothing_fails),
    "key-rotated": Fault("no session is refused", processes.rotate, nothing, judge.nothing_fails),
}


def inject(lab: Lab, name: str, say: Say) -> None:
    """Make a fault happen; `name` is one of FAULTS."""
    FAULTS[name].inject(lab, say)


def heal(lab: Lab, name: str, say: Say) -> None:
    """Undo a fault."""
    FAULTS[name].heal(lab, say)


def replica_lag(lab: Lab) -> float:
    """Seconds by which the slowest replica is behind now: what a region's loss would cost at the most."""

    async def lag(part: Part) -> float:
        connection = await asyncpg.connect(**postgres_of(part).dsn("postgres"))
        try:
            behind = "SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)::float FROM pg_stat_replication"
            return float(await connection.fetchval(behind))
        finally:
            await connection.close()

    async def worst() -> float:
        up = [part for part in lab.supervisor.primaries.values() if part.state == "up"]
        return max(await asyncio.gather(*map(lag, up)), default=0.0)

    return asyncio.run(worst())
