"""The judges that every test of the clusters shares: one API server,
and each cluster's objects as the plan renders them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.manifests import gateway
from plan.manifests import manifests
from tests.cluster import sources
from tests.cluster.api import Api, Object, api_server
from tests.conftest import PlanOf
from tests.stackfiles import DATA
from tools import build
from topology.load import parse
from topology.topology import Topology

FILLED = "filled-by-the-cloud"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the real judges."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(600))


@dataclass(frozen=True)
class Cluster:
    """One cluster of a stack's plan: its objects in the order of their making, and its Helm releases."""

    stack: str
    region: str
    topology: Topology
    objects: tuple[Object, ...]
    releases: tuple[Object, ...]

    def of(self, kind: str, name: str | None = None, namespace: str | None = None) -> list[Object]:
        """The objects of a kind, by name and namespace where given."""
        return [
            one
            for one in self.objects
            if one["kind"] == kind
            and name in (None, one["metadata"]["name"])
            and namespace in (None, one["metadata"].get("namespace"))
        ]

    def release(self, name: str) -> Object:
        """A Helm release by name."""
        return next(one for one in self.releases if one["name"] == name)


Clusters = Callable[[str], dict[str, Cluster]]


@pytest.fixture(scope="session")
def clusters(plan_of: PlanOf) -> Clusters:
    """The clusters of a stack by region: `clusters("prod")["us-west"]`."""
    made: dict[str, dict[str, Cluster]] = {}

    def of(stack: str) -> dict[str, Cluster]:
        if stack not in made:
            topology = parse(stack, DATA[stack])
            files = manifests(plan_of(stack))
            made[stack] = {region.name: _cluster(topology, region.name, files) for region in topology.ordered_regions}
        return made[stack]

    return of


def _cluster(topology: Topology, region: str, files: dict[str, str]) -> Cluster:
    mine = {path: yaml.safe_load(text) for path, text in files.items() if path.startswith(f"{region}-cluster/")}
    releases = [one for path, one in mine.items() if "/helm/" in path]
    objects = [known(one, topology, region) for path, one in mine.items() if "/helm/" not in path]
    return Cluster(topology.stack, region, topology, tuple(objects), tuple(releases))


def balancer(topology: Topology, region: str) -> str:
    """A region's internal load balancer as AWS gives it: a name, never an address."""
    name, aws_region = topology.names.of(region, "internal"), topology.regions[region].aws_region
    return f"{name}-0123456789abcdef.elb.{aws_region}.amazonaws.com"


def addresses(topology: Topology, region: str) -> tuple[str, ...]:
    """What the name of a region's internal load balancer stands for: an address in each zone."""
    found = topology.regions[region]
    return tuple(str(found.cidr[7 + zone]) for zone in range(len(found.zones)))


def known(manifest: Any, topology: Topology, region: str) -> Any:
    """A manifest with something in each place that only the cloud can fill."""
    found = _filled(manifest)
    metadata = found["metadata"]
    if found["kind"] == "ConfigMap" and metadata["name"] == "hal9-gateway":
        peers = {other.name: balancer(topology, other.name) for other in topology.others(region)}
        found["data"] = gateway.files(topology.regions[region], topology, peers)
    if found["kind"] in ("Deployment", "Job"):
        for container in found["spec"]["template"]["spec"]["containers"]:
            if container["image"] == FILLED:
                container["image"] = f"123456789012.dkr.ecr.us-west-2.amazonaws.com/{topology.server.image}"
    if found["kind"] == "Secret":  # one secret value makes the whole map secret
        found["stringData"] = {"filled": "by-the-cloud"}
    if found["kind"] == "WorkloadEntry" and "address" in found["spec"]:
        found["spec"]["address"] = balancer(topology, metadata["name"].removeprefix("hal9-server-"))
    return found


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner) for inner in value]
    return FILLED if isinstance(value, str) and value.startswith("[") and value.endswith("]") else value


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Path]:
    """A pinned Go tool by name; the test is skipped, by the lane's name, where it can neither be found nor built."""

    def of(name: str) -> Path:
        try:
            return build.binary(name)
        except build.GoMissing as missing:
            pytest.skip(f"{missing}: the cluster lane is skipped")

    return of


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A real API server with every definition that our objects need, and nothing else."""
    try:
        with api_server(tmp_path_factory.mktemp("api")) as server:
            for definition in sources.definitions():
                server.apply(definition, dry_run=False)
            wait_for_definitions(server)
            yield server
    except build.GoMissing as missing:
        pytest.skip(f"{missing}: the cluster lane is skipped")


def wait_for_definitions(server: Api) -> None:
    """Wait until every definition that was put in can be used."""
    deadline = time.monotonic() + 60
    while True:
        found = server.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
        waiting = [
            one["metadata"]["name"]
            for one in found
            if not any(
                c["type"] == "Established" and c["status"] == "True"
                for c in one.get("status", {}).get("conditions") or ()
            )
        ]
        if not waiting:
            return
        assert time.monotonic() < deadline, f"not established: {waiting}"
        time.sleep(0.2)
