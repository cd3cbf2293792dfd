"""Builds the pinned Go tools of `tools.toml` into a cache outside the repository.

A tool's folder in the cache is named by a hash of all that decides what is built: its module's go.mod,
go.sum and Go files, its row in the table, and the platform. A fresh clone finds what an earlier one
built; a changed pin builds anew. Where Go is not installed and the cache has no build, a lane is skipped
by name: `GoMissing` says so.

    python -m tools.build --lane engine pulumi pulumi-language-python
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRESS_SECONDS = 10.0
"""How often a build says how far it is where the output is no terminal."""


class GoMissing(RuntimeError):
    """Go is not installed and the tool is not in the cache: the lane that needs it cannot run here."""


class BuildFailed(RuntimeError):
    """Go could not build a tool; the message ends with what Go said."""


@dataclasses.dataclass(frozen=True)
class Tool:
    """One row of `tools.toml`; the fields are described there."""

    name: str
    module: str
    pin: str
    package: str = ""
    test: str = ""
    ldflags: str = ""
    companions: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The folder of the Go module that pins this tool."""
        return HERE / self.module

    @property
    def version(self) -> str:
        """The pinned version, read from go.mod so that it is written once."""
        found = re.search(
            rf"^(?:require)?\s*{re.escape(self.pin)} (v\S+)", (self.folder / "go.mod").read_text("utf-8"), re.MULTILINE
        )
        if found is None:
            raise BuildFailed(f"tools/{self.module}/go.mod does not pin {self.pin}, which {self.name} is built from")
        return found[1]

    @property
    def directory(self) -> Path:
        """Where the built tool and its companions stand, whether they are built yet or not."""
        digest = hashlib.sha256(repr((dataclasses.astuple(self), platform.system(), platform.machine())).encode())
        for file in sorted(self.folder.iterdir()):
            if file.suffix in {".mod", ".sum", ".go"}:
                digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        return cache() / f"{self.name}-{digest.hexdigest()[:16]}" / "bin"


def cache() -> Path:
    """Where built tools, and what else is worth keeping between clones, stand."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hal9-tools"


def tools() -> dict[str, Tool]:
    """The table, by name."""
    rows = tomllib.loads((HERE / "tools.toml").read_text("utf-8"))
    return {
        name: Tool(name=name, **{**row, "companions": tuple(row.get("companions", ()))}) for name, row in rows.items()
    }


def directory(name: str) -> Path:
    """The folder to put on PATH for a tool, built first where it is not in the cache.

    Raises GoMissing where it would have to be built and Go is absent, BuildFailed where Go fails.
    """
    tool = tools()[name]
    target = tool.directory
    if target.is_dir():
        return target
    if shutil.which("go") is None:
        raise GoMissing("go is not installed")
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():  # another process may have built it while this one waited
            _build(tool, target)
    return target


def available(name: str) -> bool:
    """Whether a tool is built, or can be."""
    return tools()[name].directory.is_dir() or shutil.which("go") is not None


def binary(name: str) -> Path:
    """The tool's own executable; see `directory`."""
    return directory(name) / name


def _build(tool: Tool, target: Path) -> None:
    started = time.monotonic()
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=target.parent))
    try:
        if tool.package or tool.test:
            _compile(tool, unfinished / tool.name)
        for companion in tool.companions:
            source = Path(json.loads(_go(tool, "mod", "download", "-json", tool.pin))["Dir"]) / companion
            shutil.copyfile(source, unfinished / source.name)
        for file in unfinished.iterdir():
            file.chmod(0o755)
        unfinished.chmod(0o755)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    print(f"{tool.name} {tool.version}: built in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _compile(tool: Tool, output: Path) -> None:
    package = tool.package or tool.test
    print(f"{tool.name} {tool.version}: not in the cache, building (once)", file=sys.stderr, flush=True)
    listing = ["list", "-deps", *(["-test"] if tool.test else []), package]
    total = len(_go(tool, *listing).splitlines())
    verb = ["build"] if tool.package else ["test", "-c"]
    flags = ["-v", "-trimpath", "-ldflags", tool.ldflags.format(version=tool.version)]
    command = ["go", *verb, *flags, "-o", str(output), package]
    with subprocess.Popen(
        command, cwd=tool.folder, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as go:
        assert go.stderr is not None
        said = list(_progress(go.stderr, tool.name, total))
    if go.returncode:
        raise BuildFailed(f"go {' '.join(verb)} {package} failed:\n" + "".join(said[-30:]))


def _progress(lines: Iterable[str], name: str, total: int) -> Iterator[str]:
    """Counts the packages that `go build -v` names; those already in Go's own cache are not named."""
    terminal, last = sys.stderr.isatty(), time.monotonic()
    for count, line in enumerate(lines, start=1):
        yield line
        if terminal:
            print(f"\r{name}: package {count} of at most {total} ", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            print(f"{name}: package {count} of at most {total}", file=sys.stderr, flush=True)
    if terminal:
        print(file=sys.stderr)


def _go(tool: Tool, *arguments: str) -> str:
    """What a `go` command prints; what it says meanwhile (the downloads) goes straight to the terminal."""
    done = subprocess.run(
        ["go", *arguments], cwd=tool.folder, env=_environment(), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise BuildFailed(f"go {' '.join(arguments)} failed in tools/{tool.module}")
    return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOWORK": "off"}


def main() -> int:
    """Builds the tools named and prints their folders; without Go it says which lane is skipped and exits 0."""
    parser = argparse.ArgumentParser(prog="python -m tools.build", description="build pinned Go tools into the cache")
    parser.add_argument("--lane", default="", help="the test lane that needs them, named where it must be skipped")
    parser.add_argument(
        "--ask", action="store_true", help="build nothing; a line where the lane cannot run here, nothing where it can"
    )
    parser.add_argument("names", nargs="+", choices=sorted(tools()), metavar="NAME")
    arguments = parser.parse_args()
    if arguments.ask:
        absent = [name for name in arguments.names if not available(name)]
        if absent:
            print(f"not run here: {arguments.lane}, which needs {', '.join(absent)}, and Go is not installed")
        return 0
    try:
        for name in arguments.names:
            print(directory(name))
    except GoMissing as missing:
        print(f"{missing}: the {arguments.lane} lane is skipped" if arguments.lane else f"{missing}: cannot build")
        return 0 if arguments.lane else 1
    except BuildFailed as failure:
        with contextlib.suppress(BrokenPipeError):
            print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    console.run(main)
