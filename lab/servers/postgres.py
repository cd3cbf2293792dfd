"""Real PostgreSQL as plain processes: primaries, streaming replicas, crashes and promotions.

The servers are of production's major version, from a wheel;
`lab.servers.programs` has the machine's own in their place.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from lab.servers import programs
from lab.servers.process import Process, ProcessError, User, free_port, run

SUPERUSER = "hal9_master"
DATABASE = "hal9"

SETTINGS: Mapping[str, str] = {
    # What the app and resharding need of any server.
    "wal_level": "logical",
    "wal_log_hints": "on",
    "hot_standby": "on",
    "max_connections": "200",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_logical_replication_workers": "16",
    "max_sync_workers_per_subscription": "4",
    "max_worker_processes": "32",
    "password_encryption": "scram-sha-256",
    # What makes a dozen of them light on one machine.
    "shared_buffers": "16MB",
    "wal_keep_size": "64MB",
    "min_wal_size": "32MB",
    "max_wal_size": "128MB",
    "autovacuum_naptime": "60s",
    "unix_socket_directories": "",
    "wal_retrieve_retry_interval": "100ms",
    "log_checkpoints": "off",
    "checkpoint_timeout": "60s",  # a rewind asks for all WAL since the last one
    # In the data directory, and gone with it: a crash leaves POSIX segments to a next start, which may never come.
    "dynamic_shared_memory_type": "mmap",
}
_SEGMENT_LINE = 6
_IPC_RMID = 0
VOLATILE: Mapping[str, str] = {"fsync": "off"}
"""For servers whose data need not outlive the machine; a killed process still loses nothing."""


def _remove_segment(lock_file: str) -> None:
    """Remove the System V segment that a killed postmaster leaves for its next start, which may never come; it only
    tells two postmasters of one directory apart. Line 7 of postmaster.pid has its key and its id."""
    lines = lock_file.splitlines()
    if len(lines) > _SEGMENT_LINE and (numbers := lines[_SEGMENT_LINE].split()):
        ctypes.CDLL(None).shmctl(int(numbers[1]), _IPC_RMID, None)


KNOWS_PROMOTED = 16
"""From this version on pg_rewind sees that its source was just promoted; an older one takes it for the history that it
has itself, and rewinds nothing, until the source has made a checkpoint."""


@dataclass
class PostgresServer:
    """One PostgreSQL instance in `directory`, on `host`:`port` (a free one unless given), password-protected.

    `replica_of` makes it a streaming replica of another: a base backup is taken at `create`.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    replica_of: PostgresServer | None = None
    settings: Mapping[str, str] = field(default_factory=lambda: VOLATILE)
    _process: Process | None = None

    def __post_init__(self) -> None:
        self.port = self.port or free_port(self.host)
        self.user = User.unprivileged()
        if self.replica_of is not None:
            self.password = self.replica_of.password

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.running

    @property
    def process(self) -> Process:
        """Its process, for faults that suspend or inspect it. Raises ProcessError before the start."""
        if self._process is None:
            raise ProcessError(f"the server on port {self.port} was not started")
        return self._process

    def create(self) -> None:
        """Make the data directory: by initdb, or from the primary by pg_basebackup."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.user.switches:
            os.chown(self.directory, self.user.uid, self.user.gid)
        if self.replica_of is None:
            self._initialise()
        else:
            self._copy(self.replica_of)

    def _initialise(self) -> None:
        secret = self.directory / "password"
        secret.write_text(self.password)
        secret.chmod(0o600)
        if self.user.switches:
            os.chown(secret, self.user.uid, self.user.gid)
        try:
            run(
                [
                    programs.postgres() / "initdb",
                    f"--pgdata={self.data}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={secret}",
                    "--no-sync",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--no-locale",
                    "--data-checksums",
                    "--wal-segsize=4",
                ],
                self.user,
            )
        finally:
            secret.unlink()
        # The default rules admit loopback; a lab region is another loopback address, hence all of 127/8.
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 127.0.0.0/8 scram-sha-256\nhost replication all 127.0.0.0/8 scram-sha-256\n")

    def _copy(self, primary: PostgresServer) -> None:
        run(
            [
                programs.postgres() / "pg_basebackup",
                f"--pgdata={self.data}",
                f"--host={primary.host}",
                f"--port={primary.port}",
                f"--username={SUPERUSER}",
                "--checkpoint=fast",
                "--wal-method=stream",
                "--write-recovery-conf",
                "--no-sync",
            ],
            self.user,
            env={"PGPASSWORD": primary.password},
        )

    def start(self, timeout: float = 30) -> None:
        """Start it and wait until it takes connections."""
        settings = {**SETTINGS, **self.settings, "listen_addresses": self.host, "port": str(self.port)}
        command: list[str | Path] = [programs.postgres() / "postgres", "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast shutdown.
        self._process = Process(command, self.directory / "log", self.user, stop_signal=signal.SIGINT)
        self._process.start(self._answers, timeout)

    def _answers(self) -> bool:
        probe = [str(programs.postgres() / "pg_isready"), "--quiet", "--host", self.host, "--port", str(self.port)]
        return subprocess.run(probe, check=False, timeout=10).returncode == 0

    def stop(self) -> None:
        """Shut it down in order; safe to repeat."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """Crash it: kill -9 of the postmaster and all its children."""
        if self._process is not None:
            self._process.kill()
            lock = self.data / "postmaster.pid"
            if lock.exists():
                _remove_segment(lock.read_text())
                lock.unlink()

    def promote(self) -> None:
        """Make this replica a primary and wait for it."""
        run([programs.postgres() / "pg_ctl", "promote", "--pgdata", self.data, "--wait"], self.user)
        self.replica_of = None

    def last_checkpoint(self) -> int:
        """The position of the last checkpoint in the data
        directory; of a server that was shut down, its last record.
        """
        told = run([programs.postgres() / "pg_controldata", self.data], self.user)
        found = re.search(r"^Latest checkpoint location:\s+([0-9A-F]+)/([0-9A-F]+)$", told, re.MULTILINE)
        if found is None:
            raise ProcessError(f"pg_controldata does not tell the last checkpoint: {told[:200]}")
        return (int(found[1], 16) << 32) + int(found[2], 16)

    def rejoin(self, primary: PostgresServer) -> None:
        """Make this stopped server a replica of `primary`, rewinding what only it has (pg_rewind).

        One that crashed recovers first, in single-user mode: nobody can write to it meanwhile. pg_rewind would do that
        too, with default settings, which drop the WAL that it then asks for.
        """
        if not (self.data / "standby.signal").exists():
            kept = [f"{name}={SETTINGS[name]}" for name in ("wal_level", "wal_keep_size")]
            options = [word for setting in kept for word in ("-c", setting)]
            run([programs.postgres() / "postgres", "--single", *options, "-D", self.data, "template1"], self.user)
        if programs.version(programs.postgres() / "postgres") < KNOWS_PROMOTED:
            asyncio.run(_checkpoint(primary))
        source = f"host={primary.host} port={primary.port} user={SUPERUSER} dbname=postgres"
        run(
            [
                programs.postgres() / "pg_rewind",
                f"--target-pgdata={self.data}",
                f"--source-server={source}",
                "--no-sync",
                "--write-recovery-conf",
            ],
            self.user,
            env={"PGPASSWORD": primary.password},
        )
        self.password, self.replica_of = primary.password, primary

    def dsn(self, database: str = DATABASE) -> dict[str, object]:
        """Keyword arguments for `asyncpg.connect` as the superuser."""
        return {
            "host": self.host,
            "port": self.port,
            "user": SUPERUSER,
            "password": self.password,
            "database": database,
            "ssl": False,
        }


async def _checkpoint(server: PostgresServer) -> None:
    connection = await asyncpg.connect(**server.dsn("postgres"))
    await connection.execute("CHECKPOINT")
    await connection.close()
