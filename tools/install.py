"""Installs pinned requirements into the environment whose Python runs this, and shows what, how much and how far.

    .venv/bin/python -m tools.install "what the program needs" requirements.txt

uv does it, itself pinned (requirements-uv.txt) and installed by pip; where there is no uv for this machine, pip does.
Every package's hash is required. The registry is the one that pip is set to, unless uv is set to another. Nothing but
Python's standard library is needed.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).resolve().parent.parent
UV = HERE / "requirements-uv.txt"
COLUMNS = 79
UNREACHED = re.compile(
    r"dns error|failed to lookup|Temporary failure in name resolution|Name or service not known|NewConnectionError"
    r"|ConnectTimeout|Max retries exceeded|[Cc]onnection (?:refused|reset|timed out)|operation timed "
    r"out|tcp connect error"
    r"|error sending request|Network is unreachable|No route to host|ProxyError|tunnel error|certificate verify failed"
    r"|invalid peer certificate"
)
"""What pip and uv say where the registry does not answer, or not as itself."""
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
}
"""pip's settings of the registry, and uv's variables for the same."""


class InstallError(Exception):
    """Nothing usable was installed; the message is one sentence, or what the installer said."""


def main() -> int:
    """Exit status 0 when all is installed, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m tools.install", description=__doc__.splitlines()[0])
    parser.add_argument("what", help="in a word or two, for the message")
    parser.add_argument("requirements", type=Path, help="a file of pinned requirements with hashes")
    options = parser.parse_args()
    show = Display()
    try:
        begun, before = time.monotonic(), megabytes()
        pinned = len(re.findall(r"^[A-Za-z0-9_.\[\]-]+==", options.requirements.read_text("utf-8"), re.MULTILINE))
        show.line(f"installing {options.what} (once): up to {pinned} packages into {name_of(sys.prefix)}")
        count = install(options.requirements, show)
    except InstallError as error:
        show.line(str(error), sys.stderr)
        return 1
    took, grown = time.monotonic() - begun, megabytes() - before
    show.line(f"{count} packages are there, {grown:.0f} MB more than before, after {took:.0f} s")
    return 0


def install(requirements: Path, show: Display) -> int:
    """Installs; how many packages there are then. Raises InstallError."""
    uv = uv_program(show)
    said: list[str] = []
    if uv is None:
        show.now("pip takes its time: there is no uv for this machine")
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes"]
    else:
        command = [str(uv), "pip", "install", "--python", sys.executable, "--require-hashes", "--no-progress"]
    for line in lines_of([*command, "--requirement", str(requirements)], environment()):
        said.append(line)
        if progress := told(line):
            show.now(progress)
    counted = [
        int(n) for n in re.findall(r"^(?:Resolved|Audited|Checked) (\d+) packages?", "\n".join(said), re.MULTILINE)
    ]
    return counted[-1] if counted else sum(line.startswith("Requirement already") for line in said)


def uv_program(show: Display) -> Path | None:
    """The pinned uv of this environment, installed first where it is
    not there; None where none is made for the machine.
    """
    uv = Path(sysconfig.get_path("scripts")) / "uv"
    pinned = re.search(r"^uv==(\S+)", UV.read_text("utf-8"), re.MULTILINE)
    assert pinned is not None, "requirements-uv.txt pins uv"
    if (
        uv.exists()
        and pinned[1] in subprocess.run([uv, "--version"], check=False, capture_output=True, text=True).stdout
    ):
        return uv
    show.now(f"fetching uv {pinned[1]}, which installs the rest")
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes"]
    try:
        for _ in lines_of([*command, "--only-binary", ":all:", "--requirement", str(UV)], os.environ):
            pass
    except InstallError as error:
        if "could not be reached" in str(error):
            raise
        return None
    return uv


def lines_of(command: list[str], env: Mapping[str, str]) -> Iterator[str]:
    """What a command says, line by line. Raises InstallError: one sentence where the registry was not reached."""
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            yield line
    if process.returncode:
        text = "".join(said)
        if (reason := UNREACHED.search(text)) is not None:
            raise InstallError(
                f"the package registry {registry()} could not be reached ({reason[0]}): nothing was installed; "
                "pip's and uv's own settings (PIP_INDEX_URL, UV_DEFAULT_INDEX) name another"
            )
        raise InstallError("".join(said[-20:]).rstrip())


def environment() -> dict[str, str]:
    """uv's environment: pip's registry where uv has none, and nothing kept where the home folder cannot be written."""
    env = dict(os.environ)
    for setting, value in pip_settings().items():
        if variable := SETTINGS.get(setting):
            env.setdefault(variable, value.replace(" ", ",") if variable == "UV_FIND_LINKS" else value)
    env.setdefault("UV_LINK_MODE", link_mode(cache_of(env)))
    if not writable(cache_of(env)):
        env["UV_NO_CACHE"] = "1"
    return env


def pip_settings() -> dict[str, str]:
    """pip's settings by name, from its files and its variables; the later of `pip config list` win."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True
    )
    found = re.findall(r"^(?:global|install|:env:)\.([a-z-]+)=(.*)$", listed.stdout, re.MULTILINE)
    return {name: " ".join(shlex.split(value)) for name, value in found}


def registry() -> str:
    """The registry's host alone: its URL may hold a password."""
    url = os.environ.get("UV_DEFAULT_INDEX") or pip_settings().get("index-url") or "https://pypi.org/simple"
    return url.partition("://")[2].rpartition("@")[2].partition("/")[0] or "given"


def cache_of(env: Mapping[str, str]) -> Path:
    """Where uv keeps what it fetched."""
    home = env.get("HOME") or Path.home()
    return Path(env.get("UV_CACHE_DIR") or Path(env.get("XDG_CACHE_HOME") or f"{home}/.cache") / "uv")


def link_mode(cache: Path) -> str:
    """Links into the cache where that is the same file system, copies elsewhere."""
    there = next((place for place in (cache, *cache.parents) if place.exists()), cache)
    return "hardlink" if there.exists() and there.stat().st_dev == Path(sys.prefix).stat().st_dev else "copy"


def writable(folder: Path) -> bool:
    """Whether a file can be made there, or in what there is of it."""
    there = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            return True
    except OSError:
        return False


def told(line: str) -> str:
    """A line of uv's or pip's as progress, or empty."""
    if found := re.match(
        r"(Downloading \S+ \(\S+\)|Collecting \S+|Resolved \d+ packages|Prepared \d+ packages)", line.strip()
    ):
        return found[1][0].lower() + found[1][1:]
    return ""


def megabytes() -> float:
    """What this environment takes on the disk."""
    total = 0
    for folder, _, files in os.walk(sys.prefix):
        total += sum(Path(folder, name).lstat().st_size for name in files)
    return total / 1e6


def name_of(prefix: str) -> str:
    """The environment's folder, as seen from here."""
    return os.path.relpath(prefix) if Path(prefix).is_relative_to(Path.cwd()) else prefix


class Display:
    """Lines that stay, and one that is written over: on a terminal in its place, elsewhere a line each."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._width = min(COLUMNS, shutil.get_terminal_size().columns - 1)

    def line(self, text: str, stream: TextIO | None = None) -> None:
        """A line that stays."""
        self._clear()
        print(text, file=stream or sys.stdout, flush=True)

    def now(self, text: str) -> None:
        """What is being done."""
        if self._terminal:
            print(f"\r\033[K  {text}"[: self._width + 4], end="", flush=True)
        else:
            print(f"  {text}", flush=True)

    def _clear(self) -> None:
        if self._terminal:
            print("\r\033[K", end="", flush=True)


if __name__ == "__main__":
    console.run(main)
