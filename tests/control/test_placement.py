"""Where a region's pods stand before anybody comes: every object taken, every pod admitted, on nodes that stay."""

from __future__ import annotations

import functools

from components.manifests import GATEWAY_NAMESPACE
from tests.cluster.api import Object
from tests.control.metrics import is_ready
from tests.control.plane import wait
from tests.control.region import Region


def test_every_workload_of_the_region_runs_and_no_pod_was_refused(region: Region) -> None:
    """Each namespace enforces its level here: a pod that it forbids would be a FailedCreate, and no pod."""
    for owner in region.cluster.of("Deployment"):
        wait(functools.partial(_available, region, owner), 90, lambda: f"{region.places()}, {region.refusals()}")
    for job in region.cluster.of("Job"):
        wait(functools.partial(_succeeded, region, job), 60, lambda: f"the migrations: {region.refusals()}")
    assert region.refusals() == []
    enforced = [
        one["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for one in region.cluster.of("Namespace")
    ]
    assert len(enforced) >= 4


def _available(region: Region, owner: Object) -> bool:
    status = region.api.get(region.api.path(owner)).get("status", {})
    return bool(status.get("replicas")) and status.get("availableReplicas") == status["replicas"]


def _succeeded(region: Region, job: Object) -> bool:
    return bool(region.api.get(region.api.path(job))["status"].get("succeeded"))


def test_the_minimum_stands_on_on_demand_nodes_over_all_zones_and_hosts(region: Region) -> None:
    settings = region.cluster.topology
    low, hosts = settings.autoscaling.min_replicas, settings.cluster.on_demand.min_nodes
    places = region.places()
    print(f"\nminimum: {places}")
    assert places.by_capacity == {"on-demand": low}
    assert max(places.by_zone.values()) - min(places.by_zone.values()) <= 1
    assert len(places.by_zone) == len(region.zones)
    assert len(places.by_host) == hosts
    assert max(places.by_host.values()) <= -(-low // hosts)


def test_every_nginx_has_a_host_and_a_zone_of_its_own(region: Region) -> None:
    replicas = region.cluster.topology.gateway.replicas
    wait(
        lambda: sum(map(is_ready, region.gateways())) == replicas,
        60,
        lambda: f"{replicas} nginx in {GATEWAY_NAMESPACE}",
    )
    places = region.places(region.gateways())
    assert places.by_capacity == {"on-demand": replicas}
    assert len(places.by_host) == replicas
    assert len(places.by_zone) == min(replicas, len(region.zones))
