"""Servers as plain processes: started on a free port, never as root, and gone when the run is gone.

Both the tests and the lab start their PostgreSQL and Redis through this module, so that neither needs a
container engine, a service manager or any privilege.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal a process gets when its parent dies."""


class ProcessError(RuntimeError):
    """A server did not start or did not stop. The message carries the end of its own log."""


@dataclass(frozen=True)
class User:
    """Who a server runs as. PostgreSQL refuses root, so root gives way to an ordinary account."""

    name: str
    uid: int
    gid: int

    @classmethod
    def unprivileged(cls) -> User:
        """The current user; for root the first of `postgres` and `nobody` that exists."""
        if os.geteuid() != 0:
            return cls.current()
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)
        raise ProcessError("root cannot run PostgreSQL, and there is neither a user `postgres` nor `nobody`")

    @classmethod
    def current(cls) -> User:
        """The user who runs this, root included: for servers that do not mind, and must read what is ours."""
        uid = os.geteuid()
        try:
            entry = pwd.getpwuid(uid)
        except KeyError:  # a container may run as a number that has no name
            return cls(str(uid), uid, os.getegid())
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)

    @property
    def switches(self) -> bool:
        """Whether becoming this user is a change (only root can make it)."""
        return os.geteuid() != self.uid

    def can_execute(self, path: Path) -> bool:
        """Whether this user reaches and may execute `path` (a checkout under /root is closed to others)."""
        return subprocess.run(["test", "-x", str(path)], check=False, **self.popen_arguments()).returncode == 0

    def popen_arguments(self) -> dict[str, Any]:
        """Keyword arguments for subprocess that start a child as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.switches else {}


PORTS = range(10_000, 32_000)
"""Ports that are given to servers: below those that kernels give to outgoing connections (32768 and above on Linux), of
which one could take the port between the choice and the server's start."""


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on at `host`, drawn by chance, so that processes at the same time draw others."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                return port


MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 * 2**30
"""Room that servers' data may take in memory: with less of it free they go to the disk."""


@contextlib.contextmanager
def work_directory(prefix: str, user: User | None = None, in_memory: bool = False) -> Iterator[Path]:
    """A temporary directory that `user` owns, removed at the end whatever happened.

    `in_memory`: on the memory file system where that has room, for servers whose data need not last; on a busy
    machine they start and end several times as fast.
    """
    user = user or User.unprivileged()
    roomy = in_memory and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES
    path = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=MEMORY if roomy else None))
    try:
        if user.switches:
            os.chown(path, user.uid, user.gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def run(command: Sequence[str | Path], user: User, env: Mapping[str, str] | None = None, timeout: float = 60) -> str:
    """Run `command` to its end as `user`; its output.

    Raises: ProcessError with that output when it fails.
    """
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env={**_clean_environment(), **(env or {})},
        timeout=timeout,
        **user.popen_arguments(),
    )
    if done.returncode != 0:
        raise ProcessError(f"{Path(command[0]).name} ended with {done.returncode}: {done.stdout[-2000:].strip()}")
    output: str = done.stdout
    return output


@dataclass
class Process:
    """One server process, its log in `log`, dead with its parent.

    `stop_signal` asks it to end in order; `kill` is the crash that faults are tested with.
    """

    command: Sequence[str | Path]
    log: Path
    user: User = field(default_factory=User.unprivileged)
    env: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    _child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises ProcessError before the start."""
        if self._child is None:
            raise ProcessError(f"{self.name} was not started")
        return self._child.pid

    @property
    def name(self) -> str:
        """The program's name, for messages."""
        return Path(self.command[0]).name

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.poll() is None

    def start(self, ready: Callable[[], bool], timeout: float = 30) -> None:
        """Start it and wait until `ready()`.

        Raises: ProcessError with its log when it ends early or is not ready within `timeout` seconds.
        """
        with self.log.open("ab") as log:
            if self.user.switches:
                os.chown(self.log, self.user.uid, self.user.gid)

            def spawn() -> subprocess.Popen[bytes]:
                return subprocess.Popen(
                    [str(part) for part in self.command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env={**_clean_environment(), **self.env},
                    start_new_session=True,
                    preexec_fn=_die_with_parent(self.stop_signal),  # noqa: PLW1509 - one prctl, nothing takes a lock
                    **self.user.popen_arguments(),
                )

            child = _spawner().submit(spawn).result()
        self._child = child
        give_up, pause = time.monotonic() + timeout, 0.005
        while not ready():
            if not self.running:
                raise ProcessError(f"{self.name} ended with {child.returncode} at its start: {self.log_tail()}")
            if time.monotonic() > give_up:
                self.kill()
                raise ProcessError(f"{self.name} was not ready within {timeout:g} s: {self.log_tail()}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def stop(self, timeout: float = 15) -> None:
        """End it in order, by force after `timeout` seconds. Safe to repeat."""
        if self._child is None:
            return
        if self.running:
            self._child.send_signal(self.stop_signal)
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._child = None

    def kill(self) -> None:
        """End the process and its children at once, as a crash would (kill -9), and wait until all are gone.

        PostgreSQL's children are in sessions of their own; a new server must not start beside one of them.
        """
        if self._child is None:
            return
        group = [self._child.pid, *_children(self._child.pid)]
        for pid in group:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._child.wait(10)
        self._child = None
        give_up = time.monotonic() + 10
        while any(_alive(pid) for pid in group) and time.monotonic() < give_up:
            time.sleep(0.005)

    def suspend(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `suspend`."""
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self, characters: int = 2000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-characters:].strip()


def _children(pid: int) -> list[int]:
    """The child processes of `pid` (Linux; elsewhere they are left to notice by themselves)."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@functools.cache
def _spawner() -> ThreadPoolExecutor:
    """The one thread that starts servers: PR_SET_PDEATHSIG goes off when the starting *thread* ends."""
    return ThreadPoolExecutor(1, "spawner")


def _clean_environment() -> dict[str, str]:
    """The environment without what would steer a client or server library from outside (PGHOST and its like)."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "REDIS"))}


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What a child runs first so that it ends with its parent (Linux alone; elsewhere `stop` must be called)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask
