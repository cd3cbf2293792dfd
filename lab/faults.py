"""Faults: what can go wrong in the lab, injected by name and healed again, on the running lab's own processes and links.

`python -m lab fault NAME` injects one under load and judges what came of it (lab/load/command.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
from msgspec import structs

from app.deployment import Deployment, SessionKey
from lab import homecoming
from lab.lab import Lab
from lab.load import judge
from lab.parts import Part
from lab.supervisor import postgres_of

Say = Callable[[str], None]
SLOW_ROUND_TRIP = 0.6
"""Seconds of a slow link: three times the longest distance of the specification's regions."""
KEY_PAUSE_SECONDS = 3.0
"""Between the steps of a key rotation: every process has read the document by then (it looks every second)."""


@dataclass(frozen=True)
class Fault:
    """One fault: what it does, how it is undone, what must hold meanwhile, and who judges whether it did."""

    invariant: str
    inject: Callable[[Lab, Say], None]
    heal: Callable[[Lab, Say], None]
    judge: judge.Judge


def victim(lab: Lab) -> str:
    """The region that faults happen in: the second, so that the first one's URL goes on working."""
    return lab.layout.regions[1 % len(lab.layout.regions)]


def _kill_region(lab: Lab, say: Say) -> None:
    region = victim(lab)
    for part in reversed(lab.of_region(region)):
        part.kill()
    say(f"{region}: {len(lab.of_region(region))} servers killed")


def _revive_region(lab: Lab, say: Say) -> None:
    """Start its servers. Shards that were promoted elsewhere meanwhile are rebuilt at home, and switched back at last."""
    region = victim(lab)
    with lab.supervisor.paused():
        for line in lab.supervisor.told:
            say(line)
        lab.supervisor.told.clear()
        moved = [s for s in lab.topology.shards if s.home == region and lab.supervisor.primaries[s.id].region != region]
        rebuilt = {f"postgres/shard-{shard.id}/{what}" for shard in moved for what in ("primary", region)}
        for shard in moved:
            homecoming.rebuild(lab, shard)
        lab.start_together([p for p in lab.of_region(region) if p.name not in rebuilt], lambda _name, _state: None)
        say(f"{region}: its servers are back")
        for shard in moved:
            homecoming.bring_home(lab, shard, say)


def _kill_app(lab: Lab, say: Say) -> None:
    part = lab.parts[f"app/{victim(lab)}/0"]
    part.kill()
    say(f"{part.name} killed")


def _revive_app(lab: Lab, say: Say) -> None:
    lab.parts[f"app/{victim(lab)}/0"].start()
    say("it is back")


def _home_shard(lab: Lab) -> tuple[Part, Part]:
    """The victim region's shard: its primary, and the replica at home that stands by."""
    region = victim(lab)
    shard = next(shard for shard in lab.topology.shards if shard.home == region)
    return lab.parts[f"postgres/shard-{shard.id}/primary"], lab.parts[f"postgres/shard-{shard.id}/{region}"]


def _fail_over(lab: Lab, say: Say) -> None:
    """Kill the primary and let the standby at home take over its address, as RDS does with Multi-AZ."""
    primary, standby = _home_shard(lab)
    old, new = postgres_of(primary), postgres_of(standby)
    with lab.supervisor.paused():
        primary.kill()
        began = time.monotonic()
        say(f"{primary.name} killed")
        new.promote()
        new.stop()
        old.port, new.port = new.port, old.port
        old.settings, new.settings = (
            new.settings,
            old.settings,
        )  # among them the name that a synchronous standby goes by
        primary.server, standby.server = new, old
        primary.start()
        standby.state = "killed"
        say(f"its standby took over after {time.monotonic() - began:.1f} s")


def _rebuild_standby(lab: Lab, say: Say) -> None:
    primary, standby = _home_shard(lab)
    postgres_of(standby).rejoin(postgres_of(primary))
    standby.start()
    lab.synchronous(primary.name)
    say(f"{standby.name} is a standby again")


def _kill_sessions(lab: Lab, say: Say) -> None:
    part = lab.parts[f"redis/{victim(lab)}/sessions"]
    part.kill()
    say(f"{part.name} killed")


def _revive_sessions(lab: Lab, say: Say) -> None:
    lab.parts[f"redis/{victim(lab)}/sessions"].start()
    say("it is back, with what it had written to disk")


def _ends(lab: Lab) -> list[tuple[str, str]]:
    first, second = lab.layout.regions[0], victim(lab)
    return [(first, second), (second, first)]


def _cut(lab: Lab, say: Say) -> None:
    lab.link(_ends(lab), cut=True)
    say("the link between {} and {} is cut".format(*_ends(lab)[0]))


def _join(lab: Lab, say: Say) -> None:
    lab.link(_ends(lab), cut=False)
    say("the link is whole again")


def _slow(lab: Lab, say: Say) -> None:
    lab.link(_ends(lab), one_way=SLOW_ROUND_TRIP / 2)
    say(f"the link takes {SLOW_ROUND_TRIP * 1000:.0f} ms there and back")


def _fast(lab: Lab, say: Say) -> None:
    seconds = lab.topology.round_trip_seconds(*_ends(lab)[0])
    lab.link(_ends(lab), one_way=seconds / 2)
    say(f"the link takes {seconds * 1000:.0f} ms again")


def _roll(lab: Lab, say: Say) -> None:
    """Every app process in turn: told to end, drained, started anew. nginx's other servers carry its users meanwhile."""
    for part in lab.parts.values():
        if part.name.startswith("app/"):
            part.stop()
            part.start()
            say(f"{part.name} is new")


def _rotate(lab: Lab, say: Say) -> None:
    """The runbook's steps: the new key decrypts everywhere, then it encrypts, and the old one only decrypts."""
    new = f"k{len(lab.documents[lab.layout.regions[0]].sessions.keyring) + 1}"
    lab.add_session_key(new)

    def keyring(
        change: Callable[[tuple[SessionKey, ...]], tuple[SessionKey, ...]],
    ) -> Callable[[Deployment], Deployment]:
        def changed(document: Deployment) -> Deployment:
            sessions = structs.replace(document.sessions, keyring=change(document.sessions.keyring))
            return structs.replace(document, sessions=sessions)

        return changed

    lab.change_documents(keyring(lambda keys: (*keys, SessionKey(id=new, state="decrypt"))))
    say(f"{new} decrypts")
    time.sleep(KEY_PAUSE_SECONDS)
    lab.change_documents(
        keyring(
            lambda keys: tuple(
                SessionKey(
                    id=key.id, state="active" if key.id == new else "decrypt" if key.state == "active" else key.state
                )
                for key in keys
            )
        )
    )
    say(f"{new} encrypts, the old key only decrypts")


def _nothing(_lab: Lab, say: Say) -> None:
    say("nothing to heal")


FAULTS = {
    "region-killed": Fault(
        "the other regions go on for all users; writes whose primary died fail until it is back; "
        "no acknowledged write is lost",
        _kill_region,
        _revive_region,
        judge.region_lost,
    ),
    "app-killed": Fault(
        "nginx passes its users on; only requests in flight may fail", _kill_app, _revive_app, judge.only_in_flight
    ),
    "primary-killed": Fault(
        "the standby takes over; no acknowledged write is lost, as the standby is synchronous, and none is applied twice",
        _fail_over,
        _rebuild_standby,
        judge.primary_lost,
    ),
    "sessions-killed": Fault(
        "its users are found in the copies of other regions or told 503 while it is away, never signed out",
        _kill_sessions,
        _revive_sessions,
        judge.sessions_lost,
    ),
    "link-cut": Fault("users at home notice nothing", _cut, _join, judge.link_hurt),
    "link-slow": Fault("users at home notice nothing", _slow, _fast, judge.link_hurt),
    "rolling-deploy": Fault("no request fails", _roll, _nothing, judge.nothing_fails),
    "key-rotated": Fault("no session is refused", _rotate, _nothing, judge.nothing_fails),
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
