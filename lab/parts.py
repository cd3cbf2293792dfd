"""The lab's parts: what each is, how it starts, and in which region it stands.

A part is one server process. Faults and the status line speak of parts by their names: `links`,
`postgres/shard-0/primary`, `postgres/shard-0/eu-central`, `redis/us-west/cache`, `redis/us-west/sessions`,
`redis/us-west/sessions-of-eu-central`, `app/us-west/0`,
`nginx/us-west`. Code asks a part what it is, and never its name.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lab.layout import Layout
from lab.servers.postgres import PostgresServer
from topology.settings import Shard
from topology.topology import Topology


class Server(Protocol):
    """A process that can be started again after it was stopped or killed."""

    def start(self) -> None:
        """Start it and wait until it is ready. ProcessError where it is not."""

    def stop(self) -> None:
        """End it in order; safe to repeat."""

    def kill(self) -> None:
        """End it as a crash would."""


class Kind(enum.StrEnum):
    """What a part is a process of."""

    LINKS = "links"
    POSTGRES = "postgres"
    REDIS = "redis"
    APP = "app"
    NGINX = "nginx"


class Role(enum.StrEnum):
    """What a part of PostgreSQL or Redis was made for. A promotion changes who takes writes, and no role."""

    PRIMARY = "primary"
    REPLICA = "replica"
    CACHE = "cache"
    SESSIONS = "sessions"
    SESSIONS_COPY = "sessions-of"

    @property
    def copies(self) -> bool:
        """Whether such a part copies another one, which has to be up before it."""
        return self in (Role.REPLICA, Role.SESSIONS_COPY)


@dataclass(eq=False)
class Part:
    """One server of the lab.

    `shard` is the id of the shard that a PostgreSQL is of, `source` the region whose sessions a copy has, `number`
    counts a region's app processes. `prepare` runs once, before the first start.
    """

    kind: Kind
    region: str
    server: Server
    role: Role | None = None
    shard: int | None = None
    source: str = ""
    number: int = 0
    prepare: Callable[[], None] | None = None
    state: str = "waiting"
    _prepared: bool = field(default=False, repr=False)

    @property
    def name(self) -> str:
        """What people call it."""
        match self.kind:
            case Kind.POSTGRES:
                what = "primary" if self.role is Role.PRIMARY else self.region
                return f"postgres/shard-{self.shard}/{what}"
            case Kind.REDIS:
                what = f"sessions-of-{self.source}" if self.role is Role.SESSIONS_COPY else str(self.role)
                return f"redis/{self.region}/{what}"
            case Kind.APP:
                return f"app/{self.region}/{self.number}"
            case Kind.NGINX:
                return f"nginx/{self.region}"
            case Kind.LINKS:
                return "links"

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
    """Every part of a lab, in the order in which they start,
    with the topology that they stand for and where they are.
    """

    topology: Topology
    layout: Layout
    parts: tuple[Part, ...]

    def of_region(self, region: str) -> list[Part]:
        """Every part that stands in a region."""
        return [part for part in self.parts if part.region == region]

    def of_shard(self, shard: Shard) -> list[Part]:
        """A shard's PostgreSQL servers, the one that was its first primary before its replicas."""
        return [part for part in self.parts if part.shard == shard.id]

    def primary(self, shard: Shard) -> Part:
        """The server that was the shard's first primary, at home."""
        return next(part for part in self.of_shard(shard) if part.role is Role.PRIMARY)

    def replica(self, shard: Shard, region: str) -> Part | None:
        """The shard's replica in a region, where there is one."""
        return next((p for p in self.of_shard(shard) if p.role is Role.REPLICA and p.region == region), None)

    def at_home(self, region: str) -> tuple[Shard, Part, Part]:
        """A region's own shard: it, the server that was its first primary, and the replica that stands by."""
        shard = next(shard for shard in self.topology.shards if shard.home == region)
        standby = self.replica(shard, region)
        assert standby is not None
        return shard, self.primary(shard), standby

    def sessions(self, region: str) -> Part:
        """A region's session store."""
        return next(part for part in self.of_region(region) if part.role is Role.SESSIONS)

    def apps(self, region: str = "") -> list[Part]:
        """The app processes of a region, or all."""
        return [part for part in self.parts if part.kind is Kind.APP and region in ("", part.region)]
