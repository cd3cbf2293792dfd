"""istioctl on each cluster's whole set: analysis without a finding, and injected pods that the standard admits."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import helm
from tests.cluster.api import Api, Refused
from tests.cluster.conftest import Cluster, Clusters
from tests.cluster.test_api_server import ALL, pod_of
from tests.cluster.test_charts import judged_releases

MEANT = "Schema validation warning: address is unset with network"
"""Of another region's WorkloadEntry: with an address, which could
only be a load balancer's name, istiod passes over it.
"""
Tool = Callable[[str], Path]
every_cluster = pytest.mark.parametrize(("stack", "region"), ALL)


def _analyze(istioctl: Path, objects: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    done = subprocess.run(
        [
            istioctl,
            "analyze",
            "--use-kube=false",
            "--all-namespaces",
            "--output=json",
            "--failure-threshold=Error",
            path,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(folder)},
    )
    assert done.stdout.strip(), done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return [one for one in found if one["level"] in ("Error", "Warning") and MEANT not in one["message"]]


def _whole(cluster: Cluster, helm_tool: Path, folder: Path) -> list[dict[str, Any]]:
    """Our objects and what Istio's own charts put beside them."""
    charts = ["istiod", *(["istio-eastwest"] if len(cluster.topology.regions) > 1 else [])]
    rendered = [one for name in charts for one in helm.template(helm_tool, cluster.release(name), folder)]
    for one in rendered:
        one["metadata"].setdefault("namespace", "istio-system")
    return [*rendered, *cluster.objects]


@every_cluster
def test_the_analysis_finds_nothing(clusters: Clusters, tool: Tool, tmp_path: Path, stack: str, region: str) -> None:
    cluster = clusters(stack)[region]
    assert _analyze(tool("istioctl"), _whole(cluster, tool("helm"), tmp_path), tmp_path) == []


def test_the_analysis_finds_a_route_to_a_subset_that_is_not_there(
    clusters: Clusters, tool: Tool, tmp_path: Path
) -> None:
    cluster = clusters("prod")["us-west"]
    objects = copy.deepcopy(_whole(cluster, tool("helm"), tmp_path))
    rule = next(one for one in objects if one["kind"] == "DestinationRule")
    del rule["spec"]["subsets"][0]
    assert "IST0101" in {one["code"] for one in _analyze(tool("istioctl"), objects, tmp_path)}


@pytest.mark.parametrize("workload", ["hal9-server", "hal9-gateway"])
def test_the_pod_with_its_sidecar_is_admitted_and_the_sidecar_is_native(
    api: Api, clusters: Clusters, tool: Tool, tmp_path: Path, workload: str
) -> None:
    cluster = clusters("prod")["us-west"]
    for manifest in [*cluster.of("Namespace"), *cluster.of("PriorityClass")]:
        api.apply(manifest, dry_run=False)
    deployment = cluster.of("Deployment", workload)[0]
    pod = pod_of(_injected(deployment, cluster, tool, tmp_path))
    kept, warnings = api.create(pod)
    assert not warnings
    sidecar = next(one for one in kept["spec"]["initContainers"] if one["name"] == "istio-proxy")
    assert sidecar["restartPolicy"] == "Always"
    assert set(sidecar["resources"]["requests"]) == {"cpu", "memory"}
    assert kept["metadata"]["labels"]["topology.istio.io/network"] == "us-west"


@every_cluster
def test_every_pod_of_every_chart_that_a_module_carries_is_admitted_in_its_namespace(
    api: Api, clusters: Clusters, tool: Tool, tmp_path: Path, stack: str, region: str
) -> None:
    """A pod that its namespace's standard forbids is never made: helm
    waits, gives up, and takes the whole release back.
    """
    cluster, admitted = clusters(stack)[region], set()
    for manifest in [*cluster.of("Namespace"), *cluster.of("PriorityClass")]:
        api.apply(manifest, dry_run=False)
    for release in (cluster.release(name) for name in judged_releases(cluster)):
        for owner in helm.template(tool("helm"), release, tmp_path):
            if owner["kind"] not in ("Deployment", "DaemonSet", "StatefulSet", "Job"):
                continue
            owner["metadata"].setdefault("namespace", release["namespace"])
            pod = pod_of(_injected(owner, cluster, tool, tmp_path) if _is_injected(owner, cluster) else owner)
            api.create(pod)
            admitted.add(owner["metadata"]["name"])
    everywhere = {"istio-cni-node", "istiod", "metrics-server", "aws-load-balancer-controller"}
    assert admitted >= everywhere | ({"istio-eastwest"} if len(cluster.topology.regions) > 1 else set())


def test_the_east_west_gateway_without_a_seccomp_profile_is_refused(
    api: Api, clusters: Clusters, tool: Tool, tmp_path: Path
) -> None:
    cluster = clusters("prod")["us-west"]
    for manifest in [*cluster.of("Namespace"), *cluster.of("PriorityClass")]:
        api.apply(manifest, dry_run=False)
    release = cluster.release("istio-eastwest")
    values = {key: value for key, value in release["values"].items() if key != "securityContext"}
    rendered = helm.template(tool("helm"), release, tmp_path, values)
    gateway = next(one for one in rendered if one["kind"] == "Deployment")
    with pytest.raises(Refused, match="seccompProfile"):
        api.create(pod_of(_injected(gateway, cluster, tool, tmp_path)))


def _is_injected(owner: dict[str, Any], cluster: Cluster) -> bool:
    """Whether Istio's webhook would change the owner's pods: by their namespace, or by their own word."""
    (found,) = cluster.of("Namespace", owner["metadata"]["namespace"]) or [{"metadata": {"labels": {}}}]
    template = owner["spec"]["template"]["metadata"]
    said = {**template.get("annotations", {}), **template.get("labels", {})}.get("sidecar.istio.io/inject")
    return said == "true" or (said is None and found["metadata"]["labels"].get("istio-injection") == "enabled")


def _injected(owner: dict[str, Any], cluster: Cluster, tool: Tool, folder: Path) -> dict[str, Any]:
    rendered = {
        one["metadata"]["name"]: one
        for one in helm.template(tool("helm"), cluster.release("istiod"), folder)
        if one["kind"] == "ConfigMap"
    }
    parts = {
        "owner": yaml.safe_dump(owner),
        "mesh": rendered["istio"]["data"]["mesh"],
        "config": rendered["istio-sidecar-injector"]["data"]["config"],
        "values": rendered["istio-sidecar-injector"]["data"]["values"],
    }
    for name, text in parts.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [
            tool("istioctl"),
            "kube-inject",
            "-f",
            folder / "owner",
            f"--meshConfigFile={folder / 'mesh'}",
            f"--injectConfigFile={folder / 'config'}",
            f"--valuesFile={folder / 'values'}",
            "--revision=default",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(folder), "ENABLE_NATIVE_SIDECARS": "true"},
    )
    assert done.returncode == 0, done.stderr
    injected: dict[str, Any] = next(one for one in yaml.safe_load_all(done.stdout) if one)
    return injected
