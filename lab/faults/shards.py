"""Faults of one shard: its primary dies, has no connection left, or gives slots away under load."""

from __future__ import annotations

import asyncio
import functools
import sys
import time

import asyncpg

from lab.assembly import python_path
from lab.faults.fault import Say, victim
from lab.lab import Lab
from lab.parts import postgres_of
from lab.servers.postgres import PostgresServer
from lab.servers.process import User, run

MOVED_SLOTS = 30
RESHARD_SECONDS = 120.0
END_THE_APP_S = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hal9-server'"


def fail_over(lab: Lab, say: Say) -> None:
    """A primary is killed and its standby takes over its address. RDS does so with Multi-AZ."""
    _, primary, standby = lab.rack.at_home(victim(lab))
    old, new = postgres_of(primary), postgres_of(standby)
    with lab.supervisor.paused():
        primary.kill()
        began = time.monotonic()
        say(f"{primary.name} killed")
        new.promote()
        new.stop()
        old.port, new.port = new.port, old.port
        # Among the settings is the name that a synchronous standby goes by.
        old.settings, new.settings = new.settings, old.settings
        primary.server, standby.server = new, old
        primary.start()
        standby.state = "killed"
        say(f"its standby took over after {time.monotonic() - began:.1f} s")


def rebuild_standby(lab: Lab, say: Say) -> None:
    """The old primary is rebuilt as the new one's standby."""
    shard, primary, standby = lab.rack.at_home(victim(lab))
    postgres_of(standby).rejoin(postgres_of(primary))
    standby.start()
    lab.synchronous(shard)
    say(f"{standby.name} is a standby again")


def move_slots(lab: Lab, say: Say) -> None:
    """Slots move from the first region's shard, and back later.

    It is the runbook's move (docs/runbooks/move-slots.md).
    """
    source = next(shard for shard in lab.topology.shards if shard.home == lab.layout.regions[0])
    target = next(shard for shard in lab.topology.shards if shard.home == victim(lab))
    first = source.key_ranges[0].start
    slots = f"{first}-{first + MOVED_SLOTS - 1}"
    _reshard(lab, say, "run", "--from", source.id, "--to", target.id, "--slots", slots, "--target-free-gib", 1)


def move_back(lab: Lab, say: Say) -> None:
    """The slots go back to their first shard."""
    _reshard(lab, say, "reverse")


def _reshard(lab: Lab, say: Say, *arguments: str | int) -> None:
    document = lab.directory / f"app-{lab.layout.regions[0]}-0.json"
    command = [sys.executable, "-m", "app.reshard", arguments[0], "--document", document, *arguments[1:]]
    ran = run(list(map(str, command)), User.current(), python_path(), timeout=RESHARD_SECONDS)
    for line in ran.splitlines():
        if "pause_milliseconds" in line or line.startswith("move "):
            say(line.strip())


class Crowd:
    """Connections that are taken and kept, so that nobody else has them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._connections: list[asyncpg.Connection] = []

    def come(self, server: PostgresServer) -> int:
        """Take every connection that a server has left; how many."""
        self._loop.run_until_complete(self._take(server))
        self._loop.run_until_complete(self._connections[0].execute(END_THE_APP_S))
        return self._loop.run_until_complete(self._take(server))

    async def _take(self, server: PostgresServer) -> int:
        while True:
            try:
                self._connections.append(await asyncpg.connect(**server.dsn("postgres")))
            except asyncpg.TooManyConnectionsError:
                return len(self._connections)

    def leave(self) -> None:
        """Give them back."""
        for connection in self._connections:
            connection.terminate()
        self._connections.clear()
        self._loop.run_until_complete(asyncio.sleep(0))


@functools.cache
def _crowd() -> Crowd:
    """The one that came, until it leaves."""
    return Crowd()


def exhaust(lab: Lab, say: Say) -> None:
    """Every connection of a primary is taken, the app's too."""
    _, primary, _ = lab.rack.at_home(victim(lab))
    say(f"{_crowd().come(postgres_of(primary))} connections taken: the server has none left")


def give_back(_lab: Lab, say: Say) -> None:
    """The connections that were taken are closed."""
    _crowd().leave()
    say("they are given back")
