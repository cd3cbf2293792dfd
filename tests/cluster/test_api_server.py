"""A real API server takes every object of both stacks, and its admission every pod."""

from __future__ import annotations

import copy
import os
import time
from typing import Any

import pytest

from lab.servers.process import Process, User
from tests.cluster.api import Api, Refused
from tests.cluster.conftest import Cluster, Clusters

ALL = [("dev", "us-west"), ("prod", "us-west"), ("prod", "eu-central"), ("prod", "ap-south")]
every_cluster = pytest.mark.parametrize(("stack", "region"), ALL)


def _namespaces(api: Api, cluster: Cluster) -> None:
    for manifest in [*cluster.of("Namespace"), *cluster.of("PriorityClass")]:  # a pod of an unknown class is refused
        api.apply(manifest, dry_run=False)


def pod_of(owner: dict[str, Any]) -> dict[str, Any]:
    template = copy.deepcopy(owner["spec"]["template"])
    template["metadata"] |= {"name": f"{owner['metadata']['name']}-0", "namespace": owner["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", **template}


@every_cluster
def test_the_server_takes_every_object_strictly_and_without_a_warning(
    api: Api, clusters: Clusters, stack: str, region: str
) -> None:
    cluster = clusters(stack)[region]
    _namespaces(api, cluster)
    warnings = {}
    for manifest in cluster.objects:
        _, said = api.apply(manifest)
        if said:
            warnings[manifest["metadata"]["name"]] = said
    assert not warnings
    assert len(cluster.objects) > 30


@every_cluster
def test_the_restricted_standard_admits_the_pods_of_every_workload(
    api: Api, clusters: Clusters, stack: str, region: str
) -> None:
    cluster = clusters(stack)[region]
    _namespaces(api, cluster)
    owners = [*cluster.of("Deployment"), *cluster.of("Job")]
    assert {owner["metadata"]["namespace"] for owner in owners} == {"hal9", "hal9-gateway"}
    for owner in owners:
        _, warnings = api.create(pod_of(owner))
        assert not warnings


def test_the_restricted_standard_refuses_a_pod_with_a_privilege(api: Api, clusters: Clusters) -> None:
    cluster = clusters("prod")["us-west"]
    _namespaces(api, cluster)
    pod = pod_of(cluster.of("Deployment", "hal9-server")[0])
    pod["spec"]["containers"][0]["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}
    with pytest.raises(Refused, match="violates PodSecurity"):
        api.create(pod)


def test_a_misspelt_field_is_refused(api: Api, clusters: Clusters) -> None:
    cluster = clusters("prod")["us-west"]
    _namespaces(api, cluster)
    rule = copy.deepcopy(cluster.of("DestinationRule")[0])
    rule["spec"]["trafficPolicy"]["outlierDetection"]["consecutiveErrrors"] = 5
    with pytest.raises(Refused, match="consecutiveErrrors"):
        api.apply(rule)


def test_the_autoscaler_reads_back_with_the_specifications_numbers(api: Api, clusters: Clusters) -> None:
    cluster = clusters("prod")["us-west"]
    _namespaces(api, cluster)
    kept, _ = api.apply(cluster.of("HorizontalPodAutoscaler")[0], dry_run=False)
    spec = api.get(api.path(kept))["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (10, 100)
    targets = {metric["type"] + str(index): metric for index, metric in enumerate(spec["metrics"])}
    assert targets["Resource0"]["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 70},
    }
    assert targets["Resource1"]["resource"] == {
        "name": "memory",
        "target": {"type": "Utilization", "averageUtilization": 80},
    }
    assert targets["Pods2"]["pods"] == {
        "metric": {"name": "concurrent_users"},
        "target": {"type": "AverageValue", "averageValue": "20"},
    }
    assert spec["behavior"] == {
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 50, "periodSeconds": 60}],
        },
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Percent", "value": 100, "periodSeconds": 60},
                {"type": "Pods", "value": 10, "periodSeconds": 60},
            ],
        },
    }


def test_the_controllers_make_admitted_pods_of_the_deployment(api: Api, clusters: Clusters, tool: Any) -> None:
    """The real controller-manager: a refused pod would be a FailedCreate on the ReplicaSet, and no pod."""
    cluster = clusters("prod")["us-west"]
    _namespaces(api, cluster)
    log = api.folder / "controllers.log"
    me = User("test", os.geteuid(), os.getegid())
    manager = Process(
        [
            tool("kube-controller-manager"),
            f"--kubeconfig={api.kubeconfig()}",
            "--controllers=deployment-controller,replicaset-controller",
            "--leader-elect=false",
            "--secure-port=0",
        ],
        log,
        me,
    )
    api.apply(cluster.of("Deployment", "hal9-server")[0], dry_run=False)
    manager.start(lambda: bool(_pods(api)), timeout=60)
    manager.stop()
    assert _pods(api)[0]["spec"]["containers"][0]["name"] == "hal9-server"


def _pods(api: Api) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get("/api/v1/namespaces/hal9/pods")["items"]
    time.sleep(0.1)
    return items
