"""Rules of what AWS has: each mistake, and its refusal with the fact's source."""

from __future__ import annotations

import pytest

from facts import databases, instances, kubernetes
from tests.stackfiles import Edit, put, refusal, topology

ZONES = "ap-south-1a, ap-south-1b or ap-south-1c"
NEAR = instances.nearest(
    "m5n.2xlarge",
    "ap-south-1",
    ["ap-south-1a", "ap-south-1b", "ap-south-1c"],
    but=["m6i.2xlarge", "m6a.2xlarge", "m5.2xlarge", "m5a.2xlarge", "m7i.2xlarge"],
)
TYPES = ["m6i.2xlarge", "m6a.2xlarge", "m5.2xlarge", "m5a.2xlarge", "m7i.2xlarge"]

MISTAKES: dict[str, tuple[list[Edit], list[str]]] = {
    "a spot type that one region does not have": (
        [put("cluster.spot.instanceTypes[+]", "m5n.2xlarge")],
        [f"hal9:cluster.spot.instanceTypes m5n.2xlarge is not sold in {ZONES} ({instances.source()}); {NEAR} is"],
    ),
    "the same for that region alone": (
        [put("regions.ap-south.spotInstanceTypes", [*TYPES, "m5n.2xlarge"])],
        [
            (
                f"hal9:regions.ap-south.spotInstanceTypes m5n.2xlarge is not sold in {ZONES} "
                f"({instances.source()}); {NEAR} is"
            )
        ],
    ),
    "another type of an on-demand node that is of another size": (
        [put("cluster.onDemand.otherInstanceTypes", ["m7i.4xlarge"])],
        [
            (
                "hal9:cluster.onDemand.otherInstanceTypes m7i.4xlarge has 16 vCPUs, 64 GiB, amd64; all "
                "on-demand nodes are "
                "counted as m6i.2xlarge: 8 vCPUs, 32 GiB, amd64"
            )
        ],
    ),
    "a version past its support": (
        [
            put("cluster.version", "1.33"),
            put("charts.clusterAutoscaler", "9.50.1"),
            put("cluster.addOns.kubeProxy", "v1.33.0-eksbuild.2"),
        ],
        [
            (
                f"hal9:cluster.version 1.33 left standard support on 2026-07-29 ({kubernetes.source()}); "
                "1.34 is the oldest "
                "that has it"
            )
        ],
    ),
    "backups to where RDS does not replicate them": (
        [put("regions.eu-central.backupRegion", "ap-south")],
        [
            (
                "hal9:regions.eu-central.backupRegion RDS does not replicate backups from eu-central-1 to ap-south-1 "
                f"({databases.backup_source()}); us-west can"
            )
        ],
    ),
    "backups to the region itself": (
        [put("regions.eu-central.backupRegion", "eu-central")],
        ["hal9:regions.eu-central.backupRegion eu-central is the region itself; backups go to another"],
    ),
    "backups to a region that is not there": (
        [put("regions.eu-central.backupRegion", "mars")],
        ["hal9:regions.eu-central.backupRegion 'mars' is no region; there are us-west, eu-central, ap-south"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_the_facts_source(mistake: str) -> None:
    edits, lines = MISTAKES[mistake]
    found = refusal("prod", *edits)
    assert [line for line in found if line in lines] == lines, found


@pytest.mark.parametrize("mistake", ["a spot type that one region does not have", "backups to the region itself"])
def test_and_with_nothing_else(mistake: str) -> None:
    edits, lines = MISTAKES[mistake]
    assert refusal("prod", *edits) == lines


def test_a_region_that_lacks_a_type_may_have_a_list_of_its_own() -> None:
    parsed = topology(
        "prod", put("cluster.spot.instanceTypes[+]", "m5n.2xlarge"), put("regions.ap-south.spotInstanceTypes", TYPES)
    )
    assert "m5n.2xlarge" in parsed.spot_types(parsed.regions["us-west"])
    assert "m5n.2xlarge" not in parsed.spot_types(parsed.regions["ap-south"])


def test_backups_go_where_the_stack_file_says() -> None:
    parsed = topology("prod", put("regions.us-west.backupRegion", "ap-south"))
    assert (parsed.backup_region("us-west"), parsed.backup_region("eu-central")) == ("ap-south", "us-west")
