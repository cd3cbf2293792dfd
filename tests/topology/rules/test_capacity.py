"""Rules of capacity: pods, schedules, resources, nodes, the image. Each mistake in production's stack file, and its refusal to the letter."""

from __future__ import annotations

import pytest

from tests.stackfiles import Edit, put, refusal

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
            "hal9:regions.eu-central.schedule[0] ends at 06:00, not after its start at 22:00; cut a window that passes midnight in two",
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
            "hal9:cluster.spot.instanceTypes m5a.xlarge (4 vCPUs, 16 GiB, amd64) is not of m6i.2xlarge's size (8 vCPUs, 32 GiB, amd64); all must be equal",
        ],
    ),
    "a spot type of another architecture": (
        [put("cluster.spot.instanceTypes[3]", "m7g.2xlarge")],
        [
            "hal9:cluster.spot.instanceTypes m7g.2xlarge (8 vCPUs, 32 GiB, arm64) is not of m6i.2xlarge's size (8 vCPUs, 32 GiB, amd64); all must be equal",
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
