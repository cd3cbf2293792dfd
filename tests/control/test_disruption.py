"""What a drain and a reclaim of every spot node leave, against what the plan promises."""

from __future__ import annotations

import pytest

from tests.control.plane import wait
from tests.control.region import Region
from topology import budget


@pytest.fixture
def peak(region: Region) -> Region:
    """The region at its most pods, every node there."""
    nodes, scaling = region.cluster.topology.cluster, region.cluster.topology.autoscaling
    region.add_nodes("spot", nodes.spot.max_nodes)
    region.metrics.numbers.users = scaling.users_per_pod * scaling.max_replicas * 5 // 4
    region.settle(scaling.max_replicas, 120)
    return region


def test_a_third_of_the_nodes_is_drained_within_the_budget(peak: Region) -> None:
    most = peak.cluster.topology.autoscaling.max_replicas
    share = peak.cluster.of("PodDisruptionBudget", "hal9-server")[0]["spec"]["maxUnavailable"]
    allowed = most - -(-most * int(share.removesuffix("%")) // 100)
    names = peak.nodes()[::3]
    took, fewest, answers = peak.drain(names, 120)
    print(
        f"\ndrain: {len(names)} of {len(peak.nodes())} nodes in {took:.0f} s, {answers[201]} evicted, "
        f"{answers[429]} told to "
        f"wait; fewest ready {fewest}, allowed {allowed}"
    )
    assert fewest >= allowed
    assert answers[201] > 0
    peak.settle(most, 60)


def test_with_every_spot_node_gone_what_the_plan_promises_is_left(peak: Region) -> None:
    topology = peak.cluster.topology
    promised = budget.pods_on_demand(topology)
    assert promised >= topology.autoscaling.min_replicas
    gone = peak.nodes("spot")
    peak.remove_nodes(gone)
    wait(lambda: peak.ready() >= promised, 120, lambda: f"{promised} pods on on-demand nodes: {peak.places()}")
    wait(lambda: peak.places().pending > 0, 120, lambda: "pods that have no node")
    places = peak.places()
    most = max(places.by_host.values())
    print(
        f"\nspot gone: {len(gone)} nodes; {peak.ready()} pods ready, the plan promises {promised}; "
        f"{places}; at most {most} a "
        f"host, the plan counts {budget.pods_per_node(topology)}"
    )
    assert places.by_capacity["on-demand"] >= promised
    assert most >= budget.pods_per_node(topology)
