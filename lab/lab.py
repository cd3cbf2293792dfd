"""The whole lab: every region of a topology on this machine, started in order and ended without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
from msgspec import structs

from app.deployment import Deployment
from app.migrate import migrate_shard
from lab.assembly import Servers
from lab.links import steer
from lab.parts import Kind, Part, Rack, postgres_of
from lab.servers.postgres import DATABASE
from lab.servers.process import ProcessError
from lab.supervisor import Supervisor
from topology import ports
from topology.settings import Shard
from topology.topology import Topology

Report = Callable[[str, str], None]
"""Told of each part and its state."""
_AT_ONCE = 4
"""Parts of one kind that start side by side: more only wait for the cores."""


class Lab:
    """Every region of `topology` below `directory`: links, Postgres, Redis, app processes, nginx.

    `rack` has its servers, in the order in which they start. `documents` has the deployment document of each
    region's first app process. `supervisor` promotes replicas where a region is lost.
    """

    def __init__(self, topology: Topology, directory: Path) -> None:
        self.topology, self.directory = topology, directory
        self._servers = Servers(topology, directory)
        self.layout, self.control, self.provider = self._servers.layout, self._servers.control, self._servers.provider
        self.add_session_key = self._servers.add_session_key
        self.rack = Rack(topology, self.layout, tuple(self._servers.parts()))
        self.documents = self._servers.documents
        self.supervisor = Supervisor(self.rack)

    def start(self, report: Report) -> None:
        """Start every part, side by side what needs nothing of
        each other. ProcessError that names what did not start.
        """
        users = [part for part in self.rack.parts if part.kind in (Kind.APP, Kind.NGINX)]
        copies = [part for part in self.rack.parts if part.role is not None and part.role.copies]
        self.start_together([part for part in self.rack.parts if part not in users and part not in copies], report)
        report("schema", "starting")
        asyncio.run(self._migrate())
        report("schema", "up")
        self.start_together(copies, report)
        for shard in self.topology.shards:
            self.synchronous(shard)
        self.start_together(users, report)
        self.supervisor.start()

    def start_together(self, parts: Iterable[Part], report: Report) -> None:
        """Start parts side by side."""

        def start(part: Part) -> None:
            report(part.name, "starting")
            part.start()
            report(part.name, "up")

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(start, parts))

    def stop(self) -> None:
        """End every part, the last to start first. Safe to repeat, and after a start that failed."""
        self.supervisor.stop()
        ordered = [part for part in reversed(self.rack.parts) if part.state in ("up", "starting")]
        apps = [part for part in ordered if part.kind in (Kind.APP, Kind.NGINX)]
        with ThreadPoolExecutor(len(apps) or 1) as pool:
            list(pool.map(Part.stop, apps))
        for part in ordered:
            if part.kind in (Kind.POSTGRES, Kind.REDIS):
                part.kill()  # what they hold is thrown away with them
            elif part not in apps:
                part.stop()

    def url(self, region: str) -> str:
        """Where users of a region come in."""
        return f"https://{self.layout.host(region)}:{ports.GATEWAY}"

    def link(self, pairs: Iterable[tuple[str, str]], **values: object) -> None:
        """Change the condition of links, each direction by itself. LinkError for one that does not exist."""
        steer(self.control, [{"source": source, "destination": destination, **values} for source, destination in pairs])

    def synchronous(self, shard: Shard) -> None:
        """Let a shard's replica at home be its synchronous standby,
        as RDS has one with Multi-AZ: a commit waits for it.
        """
        primary = self.rack.primary(shard)
        server = postgres_of(primary)

        async def name_standby() -> None:
            connection = await asyncpg.connect(**server.dsn("postgres"))
            await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (\"{primary.region}\")'")
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()

        if self.rack.replica(shard, primary.region) is not None:
            asyncio.run(name_standby())

    async def _migrate(self) -> None:
        """Make each shard's database and bring its schema up, before the replicas copy it."""
        for shard in self.topology.shards:
            primary = postgres_of(self.rack.primary(shard))
            connection = await asyncpg.connect(**primary.dsn("postgres"))
            await connection.execute(f"CREATE DATABASE {DATABASE}")
            await connection.close()
        # Each primary at its own address: the schema need not travel the distances, as users' requests do.
        near = [self.layout.primary(shard.at, shard) for shard in self.topology.shards]
        document = self.documents[self.layout.regions[0]]
        shards = tuple(
            structs.replace(shard, primary=primary)
            for shard, primary in zip(document.sharding.shards, near, strict=True)
        )
        document = structs.replace(document, sharding=structs.replace(document.sharding, shards=shards))
        await asyncio.gather(*(migrate_shard(document, shard) for shard in shards))

    def change_documents(self, change: Callable[[Deployment], Deployment]) -> None:
        """Rewrite every app process's document, as a new ConfigMap would be; they take it when they start anew."""
        for region, document in list(self.documents.items()):
            changed = self.documents[region] = change(document)
            for number in range(self.topology.lab.app_processes):
                http, metrics = self.layout.app_ports(region, number)
                path = self.directory / f"app-{region}-{number}.json"
                server = structs.replace(changed.server, port=http, metrics_port=metrics)
                path.write_bytes(structs.replace(changed, server=server).encode())


__all__ = ["Lab", "ProcessError"]
