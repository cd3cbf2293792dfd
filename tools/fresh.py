"""`python3 -m tools.fresh`: README's first commands in a fresh clone, on a machine that has Python and make alone.

The clone's path has a space in it. On its PATH is everything that is on this one's but servers, their tools, Go and
the judges, as `HIDDEN` names them; HAL9_SERVERS and whatever else this machine sets for the project is unset. Each
command must end with status 0 and skip no test. What it took is printed: by the clock, of the processors, on the disk.
Exit status 0 where all is well.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import fnmatch
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = tuple(
    """
    nginx* redis-* valkey-* postgres* pg_* psql* initdb* createdb* promtool* prometheus* etcd* go gofmt openssl*
    chromium* google-chrome* docker* pulumi* aws* kubectl* helm* terraform* uv uvx envoy* hypothesis* pytest*
    """.split()
)
"""Programs that the machine of a new user may not have."""
KEPT = re.compile(r"^(HOME|USER|LANG|LC_ALL|TERM|TMPDIR|CI|SSL_CERT_\w+|PIP_\w+|UV_\w+|\w+_proxy|\w+_PROXY)$")
"""Variables that a clone needs to reach the registry; the project's own are not among them."""
_SKIPPED = re.compile(r"\b(\d+) (failed|errors?|skipped)\b")


class FreshError(Exception):
    """A command did not do what README promises; the message says which and how."""


def first_commands(readme: str) -> list[str]:
    """The commands of README's first block of them, without their remarks."""
    for block in re.findall(r"```\n(.*?)```", readme, re.DOTALL):
        lines = [line.partition("#")[0].strip() for line in block.splitlines()]
        if commands := [line for line in lines if line.startswith("make ")]:
            return commands
    raise FreshError("README prints no block of make commands")


def hidden_path(folder: Path, path: str) -> str:
    """A PATH of one folder, with a link to each program of `path` but those of HIDDEN."""
    folder.mkdir()
    for place in path.split(os.pathsep):
        for program in sorted(Path(place).iterdir()) if Path(place).is_dir() else ():
            link = folder / program.name
            if not link.is_symlink() and not any(fnmatch.fnmatch(program.name, pattern) for pattern in HIDDEN):
                link.symlink_to(program)
    return str(folder)


def environment(path: str, given: Mapping[str, str]) -> dict[str, str]:
    """What a clone's commands see."""
    return {name: value for name, value in given.items() if KEPT.match(name)} | {"PATH": path}


def run(command: str, clone: Path, env: Mapping[str, str]) -> str:
    """Run one command, shown as it goes; what it took. Raises FreshError."""
    print(f"$ {command}", flush=True)
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    said: list[str] = []
    with subprocess.Popen(  # noqa: S602 - README's commands are a shell's
        command,
        shell=True,
        cwd=clone,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said.append(line)
    took, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise FreshError(f"`{command}` ended with status {process.returncode}")
    if spoilt := [found[0] for line in said[-5:] if (found := _SKIPPED.search(line)) and found[1] != "0"]:
        raise FreshError(f"`{command}`: {', '.join(spoilt)}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    figures = f"{took:.0f} s, {used:.0f} s of processors"
    print(f"--- {figures}", flush=True)
    return figures


def checks(clone: Path, env: dict[str, str], commands: list[str]) -> Iterator[str]:
    """README's commands, then the first again: a line of figures for each."""
    for command in commands:
        yield f"{command}: {run(command, clone, env)}; .venv has {megabytes(clone / '.venv'):.0f} MB"
    nowhere = env | {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}
    yield f"{commands[0]}, again, without a home folder: {run(commands[0], clone, nowhere)}"


def megabytes(folder: Path) -> float:
    """What a folder takes on the disk; a file with several names counts once."""
    files = {(s.st_dev, s.st_ino): s.st_size for s in (os.lstat(f) for f in folder.rglob("*") if not f.is_dir())}
    return sum(files.values()) / 1e6


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.fresh", description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, metavar="DIR", help="clone into this folder, and leave it there")
    parser.add_argument("commands", nargs="*", help="others than README's")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="hal9-fresh-"))
    try:
        folder.chmod(0o755)  # PostgreSQL runs as another user where root tests, and finds its programs here too
        clone = folder / "a fresh clone"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
        env = environment(hidden_path(folder / "bin", os.environ["PATH"]), os.environ)
        figures = list(checks(clone, env, options.commands or first_commands((clone / "README.md").read_text("utf-8"))))
    except (FreshError, subprocess.CalledProcessError) as error:
        print(f"a fresh clone: {error}", file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(figures))
    return 0


if __name__ == "__main__":
    console.run(main)
