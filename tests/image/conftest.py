"""The app's image, built once from its own Dockerfile on a base of Debian's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.servers.process import User, work_directory
from tests.image import engine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs root and Debian's tools; the first test waits for the base and the build."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.image)
            item.add_marker(pytest.mark.timeout(900))


@dataclass(frozen=True)
class Image:
    """A built image: its configuration, its root file system, its size in bytes and that of its base."""

    config: dict[str, Any]
    root: Path
    bytes: int
    base_bytes: int
    build_seconds: float


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image, as buildah makes it; skipped by the lane's name where the machine cannot."""
    if lacking := engine.absent():
        pytest.skip(f"{', '.join(lacking)}: the image lane is skipped")
    archive = engine.base_archive()
    with work_directory("hal9-image", User.current()) as folder, engine.Engine(folder) as store:
        folder.chmod(0o755)  # the container's user is another one
        store.base(archive)
        begun = time.monotonic()
        store.image()
        took = time.monotonic() - begun
        root = store.mount(engine.IMAGE)
        config = store.inspect(engine.IMAGE)["OCIv1"]["config"]
        yield Image(config, root, _bytes(root), archive.stat().st_size, took)


def _bytes(folder: Path) -> int:
    """What the files below hold, each counted once."""
    seen: dict[int, int] = {}
    for path in folder.rglob("*"):
        if not path.is_symlink() and path.is_file():
            seen[path.stat().st_ino] = path.stat().st_size
    return sum(seen.values())
