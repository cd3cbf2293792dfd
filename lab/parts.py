"""The lab's parts by name: what each is, how it starts, and in which region it stands.

A part is one server process. Faults and the status line speak of parts by these names:
`links`, `postgres/shard-0/primary`, `postgres/shard-0/eu-central`, `redis/us-west/cache`, `redis/us-west/sessions`,
`redis/us-west/sessions-of-eu-central`, `app/us-west/0`, `nginx/us-west`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lab.layout import Layout
from lab.servers.postgres import PostgresServer
from topology.topology import Topology


class Server(Protocol):
    """A process that can be started again after it was stopped or killed."""

    def start(self) -> None:
        """Start it and wait until it is ready. ProcessError where it is not."""

    def stop(self) -> None:
        """End it in order; safe to repeat."""

    def kill(self) -> None:
        """End it as a crash would."""


@dataclass
class Part:
    """One server of the lab. `prepare` runs once, before its first start."""

    name: str
    region: str
    server: Server
    prepare: Callable[[], None] | None = None
    state: str = "waiting"
    _prepared: bool = field(default=False, repr=False)

    def start(self) -> None:
        """Start it, prepared. ProcessError where it does not come up."""
        self.state = "starting"
        if self.prepare is not None and not self._prepared:
            self.prepare()
        self._prepared = True
        self.server.start()
        self.state = "up"

    def stop(self) -> None:
        """End it in order."""
        self.server.stop()
        self.state = "stopped"

    def kill(self) -> None:
        """Crash it."""
        self.server.kill()
        self.state = "killed"


def postgres_of(part: Part) -> PostgresServer:
    """The server of a part that is PostgreSQL's."""
    assert isinstance(part.server, PostgresServer)
    return part.server


@dataclass(frozen=True)
class Rack:
    """Every part of a lab by name, in the order in which they start, with the topology that they stand for and where they are."""

    topology: Topology
    layout: Layout
    parts: dict[str, Part]
