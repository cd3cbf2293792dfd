"""A region of prod in a real control plane, started once: what the tests do to it, each undoes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import sources
from tests.cluster.conftest import Clusters, clusters, wait_for_definitions
from tests.control.kubelets import Kubelets
from tests.control.metrics import MetricsApis, adapter_names
from tests.control.plane import plane
from tests.control.region import Region
from tools import build

__all__ = ["clusters"]
REGION = "us-west"
SPEED = 10.0
"""How many times as fast as prod's the clock goes that the autoscaler, its policies and the played kubelets know."""
START_SECONDS, STOP_SECONDS = 4.0, 2.0
"""From a pod's scheduling to its readiness, and from its deletion to its end, on prod's clock."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the control plane's programs."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.control)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture
def region(whole: Region) -> Region:
    """The region with nobody there: its minimum of pods, ready, on the on-demand nodes, and no other node."""
    whole.rest()
    return whole


@pytest.fixture(scope="session")
def whole(clusters: Clusters, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """us-west of prod in a control plane, once for all tests."""
    cluster = clusters("prod")[REGION]
    try:
        definitions = sources.definitions()
        with plane(tmp_path_factory.mktemp("control"), SPEED) as running:
            for definition in definitions:
                running.api.apply(definition, dry_run=False)
            wait_for_definitions(running.api)
            names = adapter_names(cluster.release("prometheus-adapter"))
            start, stop = START_SECONDS / SPEED, STOP_SECONDS / SPEED
            with Kubelets(running.api, start, stop), MetricsApis(running.api, names) as metrics:
                found = Region(running, cluster, metrics)
                found.add_nodes("on-demand", cluster.topology.cluster.on_demand.min_nodes)
                found.apply(one for one in cluster.objects if one["kind"] != "HorizontalPodAutoscaler")
                found.autoscaler()
                yield found
    except build.GoMissing as missing:
        pytest.skip(f"{missing}: the control lane is skipped")
