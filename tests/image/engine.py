"""Debian's own tools in the place of a container engine: mmdebstrap makes a base, buildah builds, crun runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lab.servers.process import ProcessError
from tools import build

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("buildah", "crun", "mmdebstrap", "unshare")
BASE, IMAGE = "localhost/python:base", "localhost/hal9-server"
PACKAGES = ("ca-certificates", "python3", "python3-pip", "python3-venv")
_DOCUMENTATION = ("doc", "man", "locale")
_CONTAINERFILE = "FROM scratch\nADD base.tar /\nRUN ln -sf /usr/bin/python3 /usr/local/bin/python\n"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def absent() -> list[str]:
    """What this machine lacks to build and run an image."""
    lacking = [f"{name} is not installed" for name in PROGRAMS if shutil.which(name) is None]
    return lacking if os.geteuid() == 0 else [*lacking, "root is needed"]


def _run(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    if done.returncode:
        raise ProcessError(
            f"{Path(command[0]).name} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}"
        )
    return done.stdout


def base_archive() -> Path:
    """A root file system of Debian with Python, in the cache: it stands for the base that no registry here carries."""
    excluded = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _DOCUMENTATION]
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", *excluded, "bookworm"]
    name = hashlib.sha256(repr(command).encode()).hexdigest()[:16]
    archive = build.cache() / f"image-base-{name}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_stem(
            f"{archive.stem}-unfinished-{os.getpid()}"
        )  # by its `.tar` it becomes an archive
        _run([*command, str(unfinished)])
        unfinished.rename(archive)
    return archive


class Engine:
    """An image store in `folder` and what is done with it. Use within `with`: mounts are gone at its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _buildah(self, *arguments: str | Path) -> str:
        store: list[str | Path] = ["--root", self.folder / "store", "--runroot", self.folder / "run"]
        return _run(["buildah", *store, *arguments], STORAGE_DRIVER=self._driver, BUILDAH_ISOLATION="chroot")

    @property
    def _driver(self) -> str:
        """`overlay` where the file system below carries it; `vfs`, which copies, elsewhere (overlay on overlay)."""
        below = _run(["stat", "-f", "-c", "%T", self.folder]).strip()
        known = "overlay" in Path("/proc/filesystems").read_text()
        return os.environ.get("STORAGE_DRIVER") or ("overlay" if known and below != "overlayfs" else "vfs")

    def base(self, archive: Path) -> None:
        """The base image, from a root file system."""
        context = self.folder / "base"
        context.mkdir()
        (context / "Containerfile").write_text(_CONTAINERFILE)
        shutil.copy(archive, context / "base.tar")
        self._buildah("bud", "--tag", BASE, "--file", context / "Containerfile", context)

    def image(self) -> None:
        """The app's image from its own Dockerfile. pip inside asks
        this machine's registry, by a file mounted for the build.
        """
        settings = self.folder / "pip.conf"
        settings.write_text("[global]\n" + "".join(f"{key} = {value}\n" for key, value in _pip_settings().items()))
        mounted = ["--volume", f"{settings}:/etc/pip.conf:ro"]
        if _CERTIFICATES.exists():
            mounted += ["--volume", f"{_CERTIFICATES}:{_PIP_CERTIFICATES}:ro"]
        self._buildah(
            *("bud", "--format", "docker", "--build-arg", f"PYTHON={BASE}", "--tag", IMAGE, *mounted),
            *("--file", "app/Dockerfile", "."),
        )

    def inspect(self, image: str) -> dict[str, Any]:
        """What buildah knows of an image."""
        found: dict[str, Any] = json.loads(self._buildah("inspect", "--type", "image", image))
        return found

    def mount(self, image: str) -> Path:
        """An image's root file system, for as long as the engine lives."""
        container = self._buildah("from", image).strip()
        self._stack.callback(self._buildah, "rm", container)
        root = Path(self._buildah("mount", container).strip())
        self._stack.callback(self._buildah, "umount", container)
        return root


_PIP_CERTIFICATES = "/run/pip-certificates.crt"


def _pip_settings() -> dict[str, str]:
    """This machine's own way to a package registry, and what it verifies that by."""
    lines = _run([sys.executable, "-m", "pip", "config", "list"]).splitlines()
    told = {line.partition("=")[0].rpartition(".")[2]: line.partition("=")[2].strip("'\"") for line in lines}
    wanted = {
        key: value for key, value in told.items() if key in ("index-url", "extra-index-url", "trusted-host", "timeout")
    }
    return wanted | ({"cert": _PIP_CERTIFICATES} if _CERTIFICATES.exists() else {})


@dataclass
class Container:
    """One container as the Deployment runs it: root file system read-only, no capability, files mounted, no shell.

    It has the machine's network, as the servers it needs listen on the loopback. `mounts`: source by place.
    """

    root: Path
    config: dict[str, Any]
    arguments: list[str]
    mounts: dict[str, Path]
    folder: Path
    _process: subprocess.Popen[bytes] | None = None

    def specification(self) -> dict[str, Any]:
        """The OCI runtime's own description of it."""
        user, group = (int(number) for number in self.config["User"].split(":"))
        bound = [
            {"destination": place, "type": "bind", "source": str(source), "options": ["rbind", "ro"]}
            for place, source in self.mounts.items()
        ]
        return {
            "ociVersion": "1.0.0",
            "process": {
                "user": {"uid": user, "gid": group},
                "args": [*self.config["Entrypoint"], *self.arguments],
                "env": self.config["Env"],
                "cwd": self.config["WorkingDir"],
                "capabilities": {},
                "noNewPrivileges": True,
            },
            "root": {"path": str(self.root), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=64m", "mode=1777"]},
                *bound,
            ],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]},
        }

    @property
    def log(self) -> Path:
        """What the process in it says."""
        return self.folder / "log"

    @property
    def pid(self) -> int:
        """The process's id outside of the container."""
        return int((self.folder / "pid").read_text())

    def start(self) -> None:
        """Start it; it may not be ready for a while."""
        self.folder.mkdir()
        (self.folder / "config.json").write_text(json.dumps(self.specification()))
        # crun takes no mixture of cgroup's versions, which some machines have mounted; it needs none of them here.
        script = (
            "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; "
            f"exec crun --root {self.folder}/state --cgroup-manager=disabled run --bundle {self.folder} "
            f"--pid-file {self.folder}/pid hal9"
        )
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, seconds: float) -> int:
        """Its exit status, once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(seconds)

    def end(self) -> None:
        """End it by force, where it still runs."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                os.kill(self.pid, 9)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()


@contextlib.contextmanager
def running(container: Container, ready: Callable[[], bool], seconds: float) -> Iterator[float]:
    """Start it and wait until `ready()`; what is yielded is how long that took, in seconds."""
    begun = time.monotonic()
    container.start()
    try:
        while not ready():
            if time.monotonic() - begun > seconds:
                raise ProcessError(f"not ready within {seconds} s: {container.log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield time.monotonic() - begun
    finally:
        container.end()
