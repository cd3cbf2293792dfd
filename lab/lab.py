"""The whole lab: every region of a topology on this machine, started in order and ended without a trace."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from msgspec import structs

from app.deployment import Deployment, ServerConfig
from app.migrate import migrate_shard
from app.session_cookie import NAME as SESSION_COOKIE
from components.document import deployment
from components.nginx import Gateway, Peer, Upstream, render
from components.settings import Shard
from components.topology import Topology
from lab import certificates, layout
from lab.identity import IdentityProvider
from lab.layout import Layout
from lab.links import steer
from lab.parts import Part
from lab.postgres import DATABASE, SUPERUSER, PostgresServer
from lab.process import Process, ProcessError, User
from lab.redis import RedisServer
from lab.supervisor import Supervisor

Report = Callable[[str, str], None]
"""Told of each part and its state."""
_DURABILITY = {"fsync": "off"}
"""A killed server loses nothing by it, only a dead machine would; full pages are written, as pg_rewind asks for them."""
_KEPT = ("--appendonly", "yes", "--appendfsync", "everysec")
"""A session store that crashes comes back with its sessions, as ElastiCache's standby has them."""
_AT_ONCE = 4
"""Parts of one kind that start side by side: more only wait for the cores."""


@dataclass
class Program:
    """A server that is a command, a test of readiness, and what must be done before each start."""

    process: Process
    ready: Callable[[], bool]
    before: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.before()
        self.process.start(self.ready)

    def stop(self) -> None:
        """End it in order."""
        self.process.stop(timeout=40)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()


class Lab:
    """Every region of `topology` below `directory`: links, Postgres, Redis, app processes, nginx.

    `parts` are its servers by name, in the order in which they start. `documents` has the deployment document of each
    region's first app process. `supervisor` promotes replicas where a region is lost.
    """

    def __init__(self, topology: Topology, directory: Path, nginx: str = "nginx") -> None:
        self.topology, self.directory, self.layout = topology, directory, Layout(topology)
        self._nginx = nginx
        self._user = User.unprivileged()
        self.control = directory / "links.sock"
        self.provider = IdentityProvider(directory / "jwks.json")
        self.documents: dict[str, Deployment] = {}
        self._passwords = {shard.id: secrets.token_urlsafe(18) for shard in topology.shards}
        self._redis_password = secrets.token_urlsafe(18)
        self._write_secrets()
        self._certificates = certificates.issue(
            directory, [topology.domain, Gateway.peer_name], map(self.layout.host, self.layout.regions)
        )
        for path in (self._certificates.certificate, self._certificates.key, self._certificates.authority):
            self._give(path)
        self.parts = {part.name: part for part in self._all_parts()}
        self.supervisor = Supervisor(self)

    # -- life

    def start(self, report: Report) -> None:
        """Start every part, side by side what needs nothing of each other. ProcessError that names what did not start."""
        self._start_kinds(["links", "postgres primary", "redis primary"], report)
        report("schema", "starting")
        asyncio.run(self._migrate())
        report("schema", "up")
        self._start_kinds(["postgres", "redis"], report)
        for name in self.parts:
            if name.endswith("/primary"):
                self.synchronous(name)
        self._start_kinds(["app", "nginx"], report)
        self.supervisor.start()

    def _start_kinds(self, kinds: Sequence[str], report: Report) -> None:
        """Start every part of these kinds; none of them needs another one of them to come up."""
        self.start_together([part for part in self.parts.values() if _kind(part.name) in kinds], report)

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
        ordered = [part for part in reversed(self.parts.values()) if part.state in ("up", "starting")]
        apps = [part for part in ordered if _kind(part.name) in ("app", "nginx")]
        with ThreadPoolExecutor(len(apps) or 1) as pool:
            list(pool.map(Part.stop, apps))
        for part in ordered:
            if part not in apps:
                part.kill() if part.name.startswith(("postgres", "redis")) else part.stop()

    def url(self, region: str) -> str:
        """Where users of a region come in."""
        return f"https://{self.layout.host(region)}:{layout.GATEWAY}"

    def of_region(self, region: str) -> list[Part]:
        """Every part that stands in a region."""
        return [part for part in self.parts.values() if part.region == region]

    def link(self, pairs: Iterable[tuple[str, str]], **values: object) -> None:
        """Change the condition of links, each direction by itself. LinkError for one that does not exist."""
        steer(self.control, [{"source": source, "destination": destination, **values} for source, destination in pairs])

    def synchronous(self, primary: str) -> None:
        """Let a shard's replica at home be its synchronous standby, as RDS has one with Multi-AZ: a commit waits for it."""
        part = self.parts[primary]
        assert isinstance(part.server, PostgresServer)
        server = part.server

        async def name_standby() -> None:
            connection = await asyncpg.connect(**server.dsn("postgres"))
            await connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (\"{part.region}\")'")
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()

        if part.name.replace("/primary", f"/{part.region}") in self.parts:
            asyncio.run(name_standby())

    # -- parts

    def _all_parts(self) -> list[Part]:
        parts = [self._links()]
        for shard in self.topology.shards:
            parts += self._shard(shard)
        for region in self.layout.regions:
            parts += self._redis(region)
        for region in self.layout.regions:
            parts += [self._app(region, number) for number in range(self.topology.lab.app_processes)]
        return parts + [self._gateway(region) for region in self.layout.regions]

    def _links(self) -> Part:
        names = self.layout.regions
        given = {
            "routes": [
                {"source": r.source, "destination": r.destination, "listen": r.listen, "target": r.target}
                for r in self.layout.routes()
            ],
            "round_trips": [
                [first, second, self.topology.round_trip_seconds(first, second)]
                for index, first in enumerate(names)
                for second in names[index + 1 :]
            ],
        }
        routes = self.directory / "routes.json"
        routes.write_text(json.dumps(given))
        command: list[str | Path] = [sys.executable, "-m", "lab.links", "--control", self.control, "--routes", routes]
        process = Process(command, self._log("links"), User.current(), python_path())
        return Part("links", "", Program(process, self.control.exists))

    def _shard(self, shard: Shard) -> list[Part]:
        folder, lab = self.directory / f"shard-{shard.id}", self.layout
        primary = PostgresServer(
            folder / "primary",
            lab.host(shard.home),
            lab.primary_port(shard),
            self._passwords[shard.id],
            settings=_DURABILITY,
        )
        parts = [Part(f"postgres/shard-{shard.id}/primary", shard.home, primary, primary.create)]
        for region in self.topology.replica_regions(shard):
            # What it copies from is the primary as its region sees it: over the link.
            source = PostgresServer(
                folder, lab.seen_from(region, shard.home), lab.primary_port(shard), self._passwords[shard.id]
            )
            replica = PostgresServer(
                folder / region,
                lab.host(region),
                lab.replica_port(shard),
                replica_of=source,
                settings={**_DURABILITY, "cluster_name": region},  # the name that its primary knows it by
            )
            parts.append(Part(f"postgres/shard-{shard.id}/{region}", region, replica, replica.create))
        return parts

    def _redis(self, region: str) -> list[Part]:
        lab, folder = self.layout, self.directory / region
        cache = RedisServer(folder / "cache", lab.host(region), layout.CACHE, self._redis_password)
        sessions = RedisServer(
            folder / "sessions", lab.host(region), layout.SESSIONS, self._redis_password, settings=_KEPT
        )
        parts = [Part(f"redis/{region}/cache", region, cache), Part(f"redis/{region}/sessions", region, sessions)]
        for where in self.topology.session_replica_regions(self.topology.regions[region]):
            source = RedisServer(folder, lab.seen_from(where, region), layout.SESSIONS, self._redis_password)
            copy = RedisServer(
                self.directory / where / f"sessions-of-{region}",
                lab.host(where),
                lab.copy_port(region),
                self._redis_password,
                replica_of=source,
            )
            parts.append(Part(f"redis/{where}/sessions-of-{region}", where, copy))
        return parts

    def _app(self, region: str, number: int) -> Part:
        http, metrics = self.layout.app_ports(region, number)
        document = self._document(region, http, metrics)
        if number == 0:
            self.documents[region] = document
        path = self.directory / f"app-{region}-{number}.json"
        path.write_bytes(document.encode())
        command: list[str | Path] = [sys.executable, "-m", "app", "--document", path]
        process = Process(command, self._log(f"app-{region}-{number}"), User.current(), python_path())
        return Part(f"app/{region}/{number}", region, Program(process, lambda: listens("127.0.0.1", http)))

    def _document(self, region: str, http: int, metrics: int) -> Deployment:
        topology, lab = self.topology, self.layout
        return deployment(
            topology,
            region,
            primaries=[lab.primary(region, shard) for shard in topology.shards],
            replicas=[lab.replicas(region, shard) for shard in topology.shards],
            caches={other: lab.endpoint(region, other, layout.CACHE) for other in lab.regions},
            sessions={other: lab.sessions(region, other) for other in lab.regions},
            cache_cluster=False,
            identity=self.provider.config,
            server=ServerConfig(port=http, metrics_port=metrics, drain_delay_seconds=1),
            secrets_directory=str(self.directory / "secrets"),
            ca_file="",
        )

    def _gateway(self, region: str) -> Part:
        lab, folder = self.layout, self.directory / f"nginx-{region}"
        folder.mkdir()
        self._give(folder)
        host = lab.host(region)
        servers = [Upstream("127.0.0.1", lab.app_ports(region, n)[0]) for n in range(self.topology.lab.app_processes)]
        limits = self.topology.limits
        gateway = Gateway(
            region=region,
            server_name=self.topology.domain,
            local=tuple(servers),
            peers=tuple(
                Peer(other, lab.seen_from(region, other), layout.GATEWAY_PEERS)
                for other in lab.regions
                if other != region
            ),
            default_region=region,  # no edge here that would know a viewer's country: the nearest gateway is the region
            certificate=str(self._certificates.certificate),
            key=str(self._certificates.key),
            authority=str(self._certificates.authority),
            # Every user of the lab comes from one address.
            address_rate=int(limits.global_rate),
            address_burst=limits.global_burst,
            user_rate=int(limits.user_rate),
            user_burst=limits.user_burst,
            max_body_bytes=ServerConfig().max_body_bytes,
            session_cookie=SESSION_COOKIE,
            listen=f"{host}:{layout.GATEWAY}",
            listen_peers=f"{host}:{layout.GATEWAY_PEERS}",
            listen_health=f"{host}:{layout.GATEWAY_HEALTH}",
            directory=str(folder),
            access_log=str(folder / "access.log"),
            workers="1",
        )
        configuration = folder / "nginx.conf"
        configuration.write_text(render(gateway))
        command: list[str | Path] = [self._nginx, "-c", configuration, "-g", "daemon off;"]
        process = Process(command, folder / "error.log", self._user)
        # One that crashed leaves its Unix sockets, and a new one would not start beside them.
        program = Program(process, lambda: listens(host, layout.GATEWAY), lambda: _remove_sockets(folder))
        return Part(f"nginx/{region}", region, program)

    # -- what they need

    async def _migrate(self) -> None:
        """Make each shard's database and bring its schema up, before the replicas copy it."""
        for shard in self.topology.shards:
            primary = self.parts[f"postgres/shard-{shard.id}/primary"].server
            assert isinstance(primary, PostgresServer)
            connection = await asyncpg.connect(**primary.dsn("postgres"))
            await connection.execute(f"CREATE DATABASE {DATABASE}")
            await connection.close()
        # Each primary at its own address: the schema need not travel the distances, as users' requests do.
        near = [self.layout.primary(shard.home, shard) for shard in self.topology.shards]
        document = self.documents[self.layout.regions[0]]
        shards = tuple(
            structs.replace(shard, primary=primary)
            for shard, primary in zip(document.sharding.shards, near, strict=True)
        )
        document = structs.replace(document, sharding=structs.replace(document.sharding, shards=shards))
        await asyncio.gather(*(migrate_shard(document, shard) for shard in shards))

    def _write_secrets(self) -> None:
        folder = self.directory / "secrets"
        folder.mkdir(mode=0o700)
        for number, password in self._passwords.items():
            (folder / f"shard-{number}").write_text(json.dumps({"username": SUPERUSER, "password": password}))
        for region in self.layout.regions:
            (folder / f"cache-{region}").write_text(self._redis_password)
            (folder / f"sessions-{region}").write_text(self._redis_password)
        for key in self.topology.sessions.keyring:
            self.add_session_key(key.id)

    def add_session_key(self, key_id: str) -> None:
        """Make the secret of a session key."""
        (self.directory / "secrets" / f"session-key-{key_id}").write_bytes(base64.b64encode(secrets.token_bytes(32)))

    def change_documents(self, change: Callable[[Deployment], Deployment]) -> None:
        """Rewrite every app process's document, at once for each, as a new ConfigMap would be."""
        for region, document in list(self.documents.items()):
            changed = self.documents[region] = change(document)
            for number in range(self.topology.lab.app_processes):
                http, metrics = self.layout.app_ports(region, number)
                path = self.directory / f"app-{region}-{number}.json"
                server = structs.replace(changed.server, port=http, metrics_port=metrics)
                fresh = path.with_suffix(".new")
                fresh.write_bytes(structs.replace(changed, server=server).encode())
                os.replace(fresh, path)

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _give(self, path: Path) -> None:
        if self._user.switches:
            os.chown(path, self._user.uid, self._user.gid)


def _kind(name: str) -> str:
    """When a part starts."""
    head, _, rest = name.partition("/")
    if head == "postgres" and rest.endswith("/primary"):
        return "postgres primary"
    if head == "redis" and "sessions-of" not in rest:
        return "redis primary"
    return head


def _remove_sockets(folder: Path) -> None:
    for path in folder.glob("*.sock"):
        path.unlink()


def listens(host: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def python_path() -> dict[str, str]:
    """The servers run from `/`; they find the project's modules by this."""
    return {"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}


__all__ = ["Lab", "ProcessError"]
