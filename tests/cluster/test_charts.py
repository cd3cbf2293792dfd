"""Our Helm values meet the real charts, and the API server what these render."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import helm, sources
from tests.cluster.api import Api
from tests.cluster.conftest import Cluster, Clusters

JUDGED = (
    "istio-base",
    "istio-cni",
    "istiod",
    "metrics-server",
    "aws-load-balancer-controller",
    "secrets-store-csi-driver",
)
EAST_WEST = "istio-eastwest"
STACKS = [("dev", "us-west"), ("prod", "us-west"), ("prod", "ap-south")]


def judged_releases(cluster: Cluster) -> list[str]:
    return [*JUDGED, *([EAST_WEST] if len(cluster.topology.regions) > 1 else [])]


@pytest.mark.parametrize(("stack", "region"), STACKS)
def test_every_chart_that_a_module_carries_takes_our_values_and_the_server_what_it_renders(
    api: Api, clusters: Clusters, tool: Callable[[str], Path], tmp_path: Path, stack: str, region: str
) -> None:
    cluster = clusters(stack)[region]
    for namespace in cluster.of("Namespace"):
        api.apply(namespace, dry_run=False)
    for name in judged_releases(cluster):
        release = cluster.release(name)
        for rendered in helm.template(tool("helm"), release, tmp_path):
            if rendered["kind"] == "CustomResourceDefinition":
                continue  # the server has them already
            rendered["metadata"].setdefault("namespace", release["namespace"])
            if (
                rendered["kind"].startswith("Cluster")
                or "webhook" in rendered["apiVersion"]
                or rendered["kind"] in CLUSTER_WIDE
            ):
                del rendered["metadata"]["namespace"]
            api.apply(rendered)


CLUSTER_WIDE = {
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "APIService",
    "CSIDriver",
    "IngressClass",
    "PriorityClass",
}


@pytest.mark.parametrize(("stack", "region"), STACKS)
def test_no_value_is_misspelt(clusters: Clusters, tool: Callable[[str], Path], stack: str, region: str) -> None:
    tool("helm")
    cluster = clusters(stack)[region]
    assert {name: helm.misspelt(cluster.release(name)) for name in judged_releases(cluster)} == {
        name: [] for name in judged_releases(cluster)
    }


def test_a_misspelt_value_fails(clusters: Clusters, tool: Callable[[str], Path]) -> None:
    tool("helm")
    release = copy.deepcopy(clusters("prod")["us-west"].release("istiod"))
    release["values"] |= {"autoscaleMinn": 2, "cni": {"enabledd": True}, "pilot": {"cni": {"enabled": True}}}
    assert helm.misspelt(release) == ["cni.enabledd", "autoscaleMinn", "pilot"]


def test_a_value_of_the_wrong_form_is_refused_by_the_charts_schema(
    clusters: Clusters, tool: Callable[[str], Path], tmp_path: Path
) -> None:
    release = clusters("prod")["us-west"].release(EAST_WEST)
    with pytest.raises(helm.ChartError, match="replicaCount"):
        helm.template(tool("helm"), release, tmp_path, {**release["values"], "replicaCount": "many"})


def test_the_pinned_versions_are_those_of_the_judged_charts(clusters: Clusters) -> None:
    import yaml

    cluster = clusters("prod")["us-west"]
    for name in ("metrics-server", "aws-load-balancer-controller", "secrets-store-csi-driver"):
        folder = sources.chart(cluster.release(name)["chart"])
        assert folder is not None
        assert yaml.safe_load((folder / "Chart.yaml").read_text())["version"] == cluster.release(name)["version"]


def test_nginx_peers_of_the_mesh_are_in_istiods_networks(
    clusters: Clusters, tool: Callable[[str], Path], tmp_path: Path
) -> None:
    cluster = clusters("prod")["us-west"]
    rendered = helm.template(tool("helm"), cluster.release("istiod"), tmp_path)
    settings = next(one for one in rendered if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "istio")
    assert "eu-central:" in settings["data"]["meshNetworks"]
    assert "minProtocolVersion: TLSV1_3" in settings["data"]["mesh"]
