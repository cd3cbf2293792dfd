"""Rules of capacity: pods, schedules, resources, nodes, the image.
Each mistake in production's stack file, and its refusal to the letter.
"""

from __future__ import annotations

import pytest

from tests.stackfiles import Edit, edited, put, refusal
from topology.load import parse

MISTAKES: dict[str, tuple[list[Edit], list[str]]] = {
    "a minimum above the maximum": (
        [
            put("autoscaling.minReplicas", 101),
            put("cluster.onDemand.minNodes", 20),
            put("cluster.onDemand.maxNodes", 20),
        ],
        [
            "hal9:autoscaling.minReplicas 101 is above maxReplicas 100",
        ],
    ),
    "a node autoscaler older than the cluster": (
        [put("charts.clusterAutoscaler", "9.50.1")],
        [
            (
                "hal9:charts.clusterAutoscaler chart 9.50.1 brings cluster-autoscaler 1.33 and the cluster "
                "is 1.35; chart 9.59.0 brings 1.35"
            ),
        ],
    ),
    "a node autoscaler newer than the cluster": (
        [put("cluster.version", "1.34")],
        [
            (
                "hal9:charts.clusterAutoscaler chart 9.59.0 brings cluster-autoscaler 1.35 and the cluster "
                "is 1.34; chart 9.53.0 brings 1.34"
            ),
        ],
    ),
    "a cluster newer than any node autoscaler that is known": (
        [put("cluster.version", "1.36")],
        [
            (
                "hal9:charts.clusterAutoscaler chart 9.59.0 brings cluster-autoscaler 1.35 and the cluster "
                "is 1.36; none that is known here brings 1.36"
            ),
        ],
    ),
    "a chart of the node autoscaler that nobody knows": (
        [put("charts.clusterAutoscaler", "9.99.0")],
        [
            (
                "hal9:charts.clusterAutoscaler chart 9.99.0 is not known here; say in "
                "charts.clusterAutoscalerApp which version of cluster-autoscaler it brings (appVersion of "
                "`helm show chart --repo https://kubernetes.github.io/autoscaler cluster-autoscaler --version 9.99.0`)"
            ),
        ],
    ),
    "a node autoscaler's version that its chart does not bring": (
        [put("charts.clusterAutoscalerApp", "1.34.2")],
        [
            (
                "hal9:charts.clusterAutoscalerApp 1.34.2, but chart 9.59.0 brings 1.35; leave it out, as the "
                "chart is known here"
            ),
        ],
    ),
    "a time zone that is none": (
        [put("regions.eu-central.timezone", "Europe/Bonn")],
        [
            "hal9:regions.eu-central.timezone 'Europe/Bonn' is no IANA time zone such as Europe/Berlin",
        ],
    ),
    "a folder of time zones": (
        [put("regions.eu-central.timezone", "Europe")],
        [
            "hal9:regions.eu-central.timezone 'Europe' is no IANA time zone such as Europe/Berlin",
        ],
    ),
    "a time zone outside its folder": (
        [put("regions.eu-central.timezone", "../../etc/passwd")],
        [
            "hal9:regions.eu-central.timezone '../../etc/passwd' is no IANA time zone such as Europe/Berlin",
        ],
    ),
    "a window that asks for more than the maximum": (
        [put("regions.eu-central.schedule[0].minReplicas", 101)],
        [
            "hal9:regions.eu-central.schedule[0].minReplicas 101 is not within minReplicas to maxReplicas (10 to 100)",
        ],
    ),
    "a window that asks for less than the minimum": (
        [put("regions.eu-central.schedule[0].minReplicas", 9)],
        [
            "hal9:regions.eu-central.schedule[0].minReplicas 9 is not within minReplicas to maxReplicas (10 to 100)",
        ],
    ),
    "a window that passes midnight": (
        [put("regions.eu-central.schedule[0].start", "22:00"), put("regions.eu-central.schedule[0].end", "06:00")],
        [
            (
                "hal9:regions.eu-central.schedule[0] ends at 06:00, not after its start at 22:00; cut a "
                "window that passes midnight in two"
            ),
        ],
    ),
    "windows that overlap": (
        [
            put(
                "regions.eu-central.schedule[+]",
                {"days": ["fri", "sat"], "start": "18:00", "end": "20:00", "minReplicas": 15},
            )
        ],
        [
            "hal9:regions.eu-central.schedule[1] overlaps schedule[0]; windows of a region must lie apart",
        ],
    ),
    "a CPU limit below the request": (
        [put("server.resources.cpuLimit", 0.5)],
        [
            "hal9:server.resources.cpuLimit 0.5 is below cpuRequest 1",
        ],
    ),
    "a memory limit below the request": (
        [put("server.resources.memoryLimitGib", 1)],
        [
            "hal9:server.resources.memoryLimitGib 1 is below memoryRequestGib 2",
        ],
    ),
    "on-demand nodes that do not hold the minimum": (
        [put("cluster.onDemand.minNodes", 1)],
        [
            "hal9:cluster.onDemand.minNodes 1 of m6i.2xlarge hold 6 pods, fewer than minReplicas 10; at least 2 nodes",
        ],
    ),
    "on-demand nodes too small for one pod": (
        [put("cluster.onDemand.instanceType", "t3.small")],
        [
            "hal9:cluster.onDemand.instanceType 4 of t3.small hold 0 pods, fewer than minReplicas 10; a larger type",
        ],
    ),
    "an on-demand type that is none": (
        [put("cluster.onDemand.instanceType", "db.m6i.2xlarge")],
        [
            "hal9:cluster.onDemand.instanceType 'db.m6i.2xlarge' is no known instance type such as m6i.2xlarge",
        ],
    ),
    "an on-demand maximum below the minimum": (
        [put("cluster.onDemand.maxNodes", 3)],
        [
            "hal9:cluster.onDemand.maxNodes 3 is below minNodes 4",
        ],
    ),
    "four spot types": (
        [put("cluster.spot.instanceTypes", ["m6i.2xlarge", "m6a.2xlarge", "m5.2xlarge", "m5a.2xlarge"])],
        [
            "hal9:cluster.spot.instanceTypes has 4 different types; at least 5, so that one reclaim does not take all",
        ],
    ),
    "a spot type twice": (
        [put("cluster.spot.instanceTypes", ["m6i.2xlarge", "m6a.2xlarge", "m5.2xlarge", "m5a.2xlarge", "m5a.2xlarge"])],
        [
            "hal9:cluster.spot.instanceTypes has 4 different types; at least 5, so that one reclaim does not take all",
        ],
    ),
    "a spot type of another size": (
        [put("cluster.spot.instanceTypes[3]", "m5a.xlarge")],
        [
            (
                "hal9:cluster.spot.instanceTypes m5a.xlarge (4 vCPUs, 16 GiB, amd64) is not of m6i.2xlarge's "
                "size (8 vCPUs, 32 GiB, amd64); all must be equal"
            ),
        ],
    ),
    "a spot type of another architecture": (
        [put("cluster.spot.instanceTypes[3]", "m7g.2xlarge")],
        [
            (
                "hal9:cluster.spot.instanceTypes m7g.2xlarge (8 vCPUs, 32 GiB, arm64) is not of "
                "m6i.2xlarge's size (8 vCPUs, 32 GiB, amd64); all must be equal"
            ),
        ],
    ),
    "a spot type that is none": (
        [put("cluster.spot.instanceTypes[3]", "m5a.3large")],
        [
            "hal9:cluster.spot.instanceTypes 'm5a.3large' is no known instance type such as m6i.2xlarge",
        ],
    ),
    "spot nodes of another architecture than the on-demand ones": (
        [put("cluster.onDemand.instanceType", "m7g.2xlarge")],
        [
            "hal9:cluster.spot.instanceTypes are amd64, the on-demand nodes arm64; the image is built for one",
        ],
    ),
    "a spot maximum below the minimum": (
        [put("cluster.spot.minNodes", 21)],
        [
            "hal9:cluster.spot.maxNodes 20 is below minNodes 21",
        ],
    ),
    "an image without a digest": (
        [put("server.image", "hal9-server:1.4")],
        [
            "hal9:server.image 'hal9-server:1.4' has no digest; `make image STACK=prod` builds, pushes and writes it",
        ],
    ),
}


@pytest.mark.parametrize(("edits", "lines"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_with_its_path_and_what_would_be_right(edits: list[Edit], lines: list[str]) -> None:
    assert refusal("prod", *edits) == lines


def test_a_chart_that_is_not_known_here_is_taken_with_its_word() -> None:
    newer = put("cluster.version", "1.36"), put("charts.clusterAutoscaler", "9.99.0")
    assert (
        parse("prod", edited("prod", *newer, put("charts.clusterAutoscalerApp", "v1.36.1"))).cluster.version == "1.36"
    )
