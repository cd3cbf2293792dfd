"""Real servers of Redis' protocol: single ones with replicas, and clusters, for the tests and the lab.

They are valkey-server, from a wheel; `lab.servers.programs` has the machine's redis-server in its place.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import redis

from app.deployment import Endpoint
from lab.servers import programs
from lab.servers.process import Process, ProcessError, User, free_port

SLOTS = 16384
"""Slots of a Redis cluster."""


@dataclass
class RedisServer:
    """One redis-server in `directory` on `host`:`port` (a free one unless given), without persistence.

    `replica_of` makes it a read-only copy. `cluster` makes it a cluster's node; then it also needs `port` + 10000.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    password: str = ""
    replica_of: RedisServer | None = None
    cluster: bool = False
    max_memory: str = "64mb"
    settings: Sequence[str] = ()
    _process: Process | None = field(default=None, repr=False)

    @property
    def endpoint(self) -> Endpoint:
        """Where the app finds it."""
        return Endpoint(host=self.host, port=self.port, tls=False)

    @property
    def process(self) -> Process:
        """The server's process. Raises: ProcessError before the start."""
        if self._process is None:
            raise ProcessError("this redis-server was not started")
        return self._process

    def start(self) -> None:
        """Start it (again) and wait until it answers, as a copy until it has copied once. Raises: ProcessError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        attempts = 5 if self.port == 0 else 1
        for attempt in range(1, attempts + 1):
            chosen = self.port or (_free_pair(self.host) if self.cluster else free_port(self.host))
            process = Process(self._command(chosen), self.directory / "redis.log", user=User.current())
            try:
                process.start(lambda port=chosen, mine=process: self._answers(port, mine))  # type: ignore[misc]
            except ProcessError:
                if attempt == attempts:
                    raise
                continue  # the free port was taken in between
            self.port, self._process = chosen, process
            break
        if self.replica_of is not None:
            self.wait_until_copied()

    def client(self, timeout: float = 2) -> redis.Redis:
        """A blocking client, for set-up and looking inside."""
        return redis.Redis(
            host=self.host,
            port=self.port,
            password=self.password or None,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
        )

    def wait_until_copied(self, timeout: float = 20) -> None:
        """Wait until this copy's link to its primary is up."""
        give_up = time.monotonic() + timeout
        with self.client() as client:
            while client.info("replication").get("master_link_status") != "up":
                if time.monotonic() > give_up:
                    raise ProcessError(f"the copy on port {self.port} did not copy: {self.process.log_tail()}")
                time.sleep(0.02)

    def stop(self) -> None:
        """End it; nothing is kept."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()

    def _answers(self, port: int, process: Process) -> bool:
        """Whether what answers at the port is this very process: another may have taken it in between."""
        try:
            with redis.Redis(host=self.host, port=port, password=self.password or None, socket_timeout=1) as client:
                return int(client.info("server")["process_id"]) == process.pid
        except redis.RedisError:
            return False

    def _command(self, port: int) -> list[str]:
        settings: dict[str, object] = {
            "port": port,
            "bind": self.host,
            "dir": self.directory,
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "protected-mode": "no",
            "maxmemory": self.max_memory,
            "maxmemory-policy": "allkeys-lru" if self.cluster else "noeviction",
            "repl-diskless-sync": "yes",
            "repl-diskless-sync-delay": 0,
            "repl-ping-replica-period": 1,
            "repl-timeout": 5,
            "enable-debug-command": "local",
        }
        if self.password:
            settings |= {"requirepass": self.password, "masterauth": self.password}
        if self.cluster:
            settings |= {
                "cluster-enabled": "yes",
                "cluster-config-file": f"nodes-{port}.conf",
                "cluster-node-timeout": 2000,
                "cluster-require-full-coverage": "no",
                "cluster-announce-ip": self.host,
            }
        command = [str(programs.redis_server())]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        if self.replica_of is not None:
            command += ["--replicaof", self.replica_of.host, str(self.replica_of.port)]
        return [*command, *self.settings]


def _free_pair(host: str) -> int:
    """A port whose own and whose cluster bus's (+ 10000) nobody listens on."""
    for _ in range(100):
        port = free_port(host)
        if port + 10000 > 65535:
            continue
        with socket.socket() as bus:
            try:
                bus.bind((host, port + 10000))
            except OSError:
                continue
            return port
    # The kernel's own choices lie too high on this machine for port + 10000.
    for port in range(20000 + os.getpid() % 5000, 32000):
        try:
            with socket.socket() as one, socket.socket() as bus:
                one.bind((host, port))
                bus.bind((host, port + 10000))
        except OSError:
            continue
        return port
    raise ProcessError("no free pair of ports for a node of a Redis cluster")


@dataclass
class RedisCluster:
    """A cluster of primaries, its slots spread evenly. `ports`: one for each node, free ones unless given."""

    directory: Path
    nodes: int = 3
    host: str = "127.0.0.1"
    ports: Sequence[int] = ()
    password: str = ""
    servers: list[RedisServer] = field(default_factory=list)

    @property
    def endpoint(self) -> Endpoint:
        """The configuration endpoint: any node tells of the others."""
        return self.servers[0].endpoint

    def start(self) -> None:
        """Start the nodes, join them, and wait until all agree that every slot is served. Raises: ProcessError."""
        for number in range(self.nodes):
            port = self.ports[number] if self.ports else 0
            server = RedisServer(
                self.directory / f"node-{number}", self.host, port, password=self.password, cluster=True
            )
            server.start()
            self.servers.append(server)
        for number, server in enumerate(self.servers):
            first, after = SLOTS * number // self.nodes, SLOTS * (number + 1) // self.nodes
            with server.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if number:
                    client.execute_command("CLUSTER", "MEET", self.servers[0].host, self.servers[0].port)
        self.wait_until_whole()

    def wait_until_whole(self, timeout: float = 30) -> None:
        """Wait until each node sees every slot served."""
        give_up = time.monotonic() + timeout
        while not all(_sees_all(server, self.nodes) for server in self.servers):
            if time.monotonic() > give_up:
                raise ProcessError(f"the Redis cluster did not form: {self.servers[0].process.log_tail()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End every node."""
        for server in self.servers:
            server.stop()


def _sees_all(server: RedisServer, nodes: int) -> bool:
    with server.client() as client:
        told = client.execute_command("CLUSTER", "INFO").decode().split()
    return {"cluster_state:ok", f"cluster_slots_ok:{SLOTS}", f"cluster_known_nodes:{nodes}"} <= set(told)
