"""kube-score on each cluster's objects: nothing critical that the file of accepted exceptions does not explain."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import Cluster, Clusters
from tests.cluster.test_api_server import ALL

Tool = Callable[[str], Path]
OURS = ("v1", "apps/v1", "batch/v1", "autoscaling/v2", "policy/v1", "networking.k8s.io/v1")
ACCEPTED = tomllib.loads(Path(__file__).with_name("kube_score_exceptions.toml").read_text())["accepted"]


def _critical(kube_score: Path, cluster: Cluster) -> list[str]:
    text = yaml.safe_dump_all([one for one in cluster.objects if one["apiVersion"] in OURS])
    done = subprocess.run(
        [
            kube_score,
            "score",
            "--output-format",
            "ci",
            "--kubernetes-version",
            f"v{cluster.topology.cluster.version}",
            "-",
        ],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert any(line.startswith("[OK]") for line in lines), done.stdout + done.stderr
    return [line for line in lines if line.startswith("[CRITICAL]")]


def _explained(line: str) -> bool:
    return any(one["finding"] in line and one.get("object", "") in line for one in ACCEPTED)


@pytest.mark.parametrize(("stack", "region"), ALL)
def test_nothing_critical_is_unexplained(clusters: Clusters, tool: Tool, stack: str, region: str) -> None:
    assert [line for line in _critical(tool("kube-score"), clusters(stack)[region]) if not _explained(line)] == []


def test_every_exception_is_still_needed(clusters: Clusters, tool: Tool) -> None:
    found = "\n".join(_critical(tool("kube-score"), clusters("prod")["us-west"]))
    assert [one["finding"] for one in ACCEPTED if one["finding"] not in found] == []


def test_a_container_without_limits_is_found(clusters: Clusters, tool: Tool) -> None:
    cluster = clusters("prod")["us-west"]
    deployment = yaml.safe_load(yaml.safe_dump(cluster.of("Deployment", "hal9-server")[0]))
    del deployment["spec"]["template"]["spec"]["containers"][0]["resources"]
    broken = Cluster(cluster.stack, cluster.region, cluster.topology, (deployment,), ())
    assert any("CPU limit is not set" in line for line in _critical(tool("kube-score"), broken))
