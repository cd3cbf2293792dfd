"""What every chart is given, as plain data: what the charts
themselves cannot be asked, as no registry here has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from components.manifests import charts, classes, pods
from components.manifests.charts import Chart, Facts
from tests.stackfiles import topology
from topology import catalog

STACKS = ("dev", "prod")


def _charts(stack: str) -> dict[str, Chart]:
    parsed = topology(stack)
    region = parsed.ordered_regions[0]
    balancers = {other.name: f"{other.name}.elb.amazonaws.com" for other in parsed.others(region.name)}
    return {one.name: one for one in charts.charts(region, parsed, Facts("c", "v", "alarms", "heartbeat", balancers))}


def _found(value: Any, key: str) -> Iterator[Any]:
    """Every value below `key`, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from _found(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner, key)


@pytest.mark.parametrize("stack", STACKS)
def test_every_claim_of_storage_names_our_class_as_eks_has_no_default(stack: str) -> None:
    claims = [claim for chart in _charts(stack).values() for claim in _found(chart.values, "volumeClaimTemplate")]
    assert len(claims) == 2  # Prometheus and Alertmanager
    assert [claim["spec"]["storageClassName"] for claim in claims] == [classes.DISK] * 2
    assert not [chart.name for chart in _charts(stack).values() if list(_found(chart.values, "persistence"))]


def test_our_class_is_encrypted_under_the_clusters_key_and_waits_for_the_pods_zone() -> None:
    made = classes.storage("arn:key")
    assert made["metadata"] == {"name": classes.DISK}
    assert made["parameters"] == {"type": "gp3", "encrypted": "true", "kmsKeyId": "arn:key"}
    assert (made["volumeBindingMode"], made["allowVolumeExpansion"]) == ("WaitForFirstConsumer", True)


@pytest.mark.parametrize("stack", STACKS)
def test_cluster_autoscaler_is_the_one_that_its_chart_has_the_rights_for(stack: str) -> None:
    chart = _charts(stack)["cluster-autoscaler"]
    assert "image" not in chart.values
    assert catalog.CLUSTER_AUTOSCALERS[chart.version] == topology(stack).cluster.version


def test_a_node_with_a_temporary_directory_can_go_again() -> None:
    given = _charts("prod")["cluster-autoscaler"].values["extraArgs"]
    assert given["skip-nodes-with-local-storage"] is False
    assert given["balance-similar-node-groups"] is True


def test_the_east_west_gateway_leaves_as_late_as_its_load_balancer_needs() -> None:
    chart = _charts("prod")["istio-eastwest"]
    asked = chart.values["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 120 < asked < chart.values["terminationGracePeriodSeconds"] - pods.SHUTDOWN_SECONDS
    assert chart.values["minReadySeconds"] >= 30
    assert chart.values["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    # both pods replaced, one after the other, each registered for minutes before the next leaves
    assert chart.seconds > 2 * (180 + pods.READY_SECONDS)


@pytest.mark.parametrize("name", ["istiod", "istio-eastwest", "kube-prometheus-stack", "prometheus-adapter"])
def test_what_directs_and_watches_the_others_is_never_the_pod_without_a_node(name: str) -> None:
    given = set(_found(_charts("prod")[name].values, "priorityClassName"))
    assert given <= {classes.PLATFORM, classes.EDGE}
    assert given


@pytest.mark.parametrize("name", ["istiod", "istio-eastwest"])
def test_its_pods_are_not_all_on_one_node(name: str) -> None:
    values = _charts("prod")[name].values
    keys = {one["topologyKey"] for one in values["topologySpreadConstraints"]}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert "podAntiAffinity" in values["affinity"]


def test_a_changed_secret_is_asked_for_no_oftener_than_it_is_worth() -> None:
    assert _charts("prod")["secrets-store-csi-driver"].values["rotationPollInterval"] == "10m"


def test_definitions_follow_their_chart() -> None:
    assert _charts("prod")["kube-prometheus-stack"].values["crds"]["upgradeJob"]["enabled"] is True
