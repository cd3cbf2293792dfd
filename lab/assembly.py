"""The lab's servers, made from the topology: each with the files that it reads."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from app.deployment import Deployment, ServerConfig
from app.sessions.cookie import NAME as SESSION_COOKIE
from components.manifests.nginx import Gateway, Peer, Upstream, render
from lab import layout
from lab.layout import Layout
from lab.parts import Kind, Part, Role
from lab.servers import certificates, nginx
from lab.servers.accounts import write_accounts
from lab.servers.identity_provider import IdentityProvider
from lab.servers.postgres import SETTINGS, PostgresServer
from lab.servers.process import Process, User
from lab.servers.redis import RedisServer
from topology import budget, ports
from topology.document import deployment
from topology.settings import Shard
from topology.topology import Topology

_DURABILITY = {"fsync": "off"}
"""A killed server loses nothing by it, only a dead machine
would; full pages are written, as pg_rewind asks for them.
"""
RESERVED_CONNECTIONS = 20
"""Of each Postgres server: for replication, moves of slots, the supervisor and the census."""
_KEPT = ("--appendonly", "yes", "--appendfsync", "everysec")
"""A session store that crashes comes back with its sessions, as ElastiCache's standby has them."""


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


class Servers:
    """Makes every server of a lab below `directory`, and what they read: secrets, certificates, documents.

    `documents` has the deployment document of each region's first app process, once `parts` were made.
    """

    def __init__(self, topology: Topology, directory: Path) -> None:
        self.topology, self.directory, self.layout = topology, directory, Layout(topology)
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

    def parts(self) -> list[Part]:
        """All of them, in the order in which they start."""
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
        return Part(Kind.LINKS, "", Program(process, self.control.exists))

    def _shard(self, shard: Shard) -> list[Part]:
        folder, lab = self.directory / f"shard-{shard.id}", self.layout
        primary = PostgresServer(
            folder / "primary",
            lab.host(shard.at),
            lab.primary_port(shard),
            self._passwords[shard.id],
            settings=_DURABILITY,
        )
        parts = [Part(Kind.POSTGRES, shard.at, primary, Role.PRIMARY, shard.id, prepare=primary.create)]
        for region in self.topology.replica_regions(shard):
            # What it copies from is the primary as its region sees it: over the link.
            source = PostgresServer(
                folder, lab.seen_from(region, shard.at), lab.primary_port(shard), self._passwords[shard.id]
            )
            replica = PostgresServer(
                folder / region,
                lab.host(region),
                lab.replica_port(shard),
                replica_of=source,
                settings={**_DURABILITY, "cluster_name": region},  # the name that its primary knows it by
            )
            parts.append(Part(Kind.POSTGRES, region, replica, Role.REPLICA, shard.id, prepare=replica.create))
        return parts

    def _redis(self, region: str) -> list[Part]:
        lab, folder = self.layout, self.directory / region
        cache = RedisServer(folder / "cache", lab.host(region), layout.CACHE, self._redis_password)
        sessions = RedisServer(
            folder / "sessions", lab.host(region), layout.SESSIONS, self._redis_password, settings=_KEPT
        )
        parts = [Part(Kind.REDIS, region, cache, Role.CACHE), Part(Kind.REDIS, region, sessions, Role.SESSIONS)]
        for where in self.topology.session_replica_regions(self.topology.regions[region]):
            source = RedisServer(folder, lab.seen_from(where, region), layout.SESSIONS, self._redis_password)
            copy = RedisServer(
                self.directory / where / f"sessions-of-{region}",
                lab.host(where),
                lab.copy_port(region),
                self._redis_password,
                replica_of=source,
            )
            parts.append(Part(Kind.REDIS, where, copy, Role.SESSIONS_COPY, source=region))
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
        return Part(Kind.APP, region, Program(process, lambda: listens("127.0.0.1", http)), number=number)

    def _document(self, region: str, http: int, metrics: int) -> Deployment:
        topology, lab = self.topology, self.layout
        size = budget.share(
            int(SETTINGS["max_connections"]) - RESERVED_CONNECTIONS,
            topology.lab.app_processes * len(topology.regions),
            topology.pools.max_connections,
        )
        document = deployment(
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
        # A process of the lab stands for a region's pods, so it has their share of the lab's servers.
        return structs.replace(document, pools=structs.replace(document.pools, primary_size=size, replica_size=size))

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
                Peer(other, lab.seen_from(region, other), ports.GATEWAY_PEERS)
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
            listen=f"{host}:{ports.GATEWAY}",
            listen_peers=f"{host}:{ports.GATEWAY_PEERS}",
            listen_health=f"{host}:{ports.GATEWAY_HEALTH}",
            directory=str(folder),
            access_log=str(folder / "access.log"),
            workers="1",
        )
        process = nginx.process(render(gateway), folder, self._user)
        # One that crashed leaves its Unix sockets, and a new one would not start beside them.
        program = Program(process, lambda: listens(host, ports.GATEWAY), lambda: _remove_sockets(folder))
        return Part(Kind.NGINX, region, program)

    def _write_secrets(self) -> None:
        folder = self.directory / "secrets"
        folder.mkdir(mode=0o700)
        for number, password in self._passwords.items():
            write_accounts(folder, number, password)
        for region in self.layout.regions:
            (folder / f"cache-{region}").write_text(self._redis_password)
            (folder / f"sessions-{region}").write_text(self._redis_password)
        for key in self.topology.sessions.keyring:
            self.add_session_key(key.id)

    def add_session_key(self, key_id: str) -> None:
        """Make the secret of a session key."""
        (self.directory / "secrets" / f"session-key-{key_id}").write_bytes(base64.b64encode(secrets.token_bytes(32)))

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def _give(self, path: Path) -> None:
        if self._user.switches:
            os.chown(path, self._user.uid, self._user.gid)


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
