"""Rules of network: address blocks, AWS regions, zones, room for the pods.
Each mistake in production's stack file, and its refusal to the letter.
"""

from __future__ import annotations

import pytest

from tests.stackfiles import Edit, put, refusal

MISTAKES: dict[str, tuple[list[Edit], list[str]]] = {
    "a name that cannot be in a DNS name": (
        [put("regions.SA_East", {"awsRegion": "sa-east-1", "cidr": "10.3.0.0/16", "zones": ["sa-east-1a"]})],
        [
            "hal9:regions.SA_East 'SA_East' is not a region's name: 3 to 20 small letters, digits and hyphens",
        ],
    ),
    "the name of what is in no region": (
        [put("regions.global", {"awsRegion": "sa-east-1", "cidr": "10.3.0.0/16", "zones": ["sa-east-1a"]})],
        [
            "hal9:regions.global 'global' stands for what is in no region; another name",
        ],
    ),
    "two regions with one block": (
        [put("regions.eu-central.cidr", "10.0.0.0/16")],
        [
            "hal9:regions.eu-central.cidr 10.0.0.0/16 overlaps us-west (10.0.0.0/16); free from 10.3.0.0/16 on",
        ],
    ),
    "a block within another": (
        [put("regions.eu-central.cidr", "10.0.128.0/17")],
        [
            "hal9:regions.eu-central.cidr 10.0.128.0/17 overlaps us-west (10.0.0.0/16); free from 10.3.0.0/17 on",
        ],
    ),
    "two regions in one AWS region": (
        [put("regions.eu-central.awsRegion", "us-west-2")],
        [
            "hal9:regions.eu-central.awsRegion us-west-2 is us-west's already; each region needs its own",
        ],
    ),
    "an AWS region that is none": (
        [put("regions.eu-central.awsRegion", "eu-central-9")],
        [
            "hal9:regions.eu-central.awsRegion 'eu-central-9' is no AWS region; did you mean eu-central-2?",
        ],
    ),
    "another region's zone": (
        [put("regions.eu-central.zones[1]", "us-west-2a")],
        [
            (
                "hal9:regions.eu-central.zones[1] 'us-west-2a' is no zone of eu-central-1; it has "
                "eu-central-1a, eu-central-1b or eu-central-1c"
            ),
        ],
    ),
    "a zone that its region lacks": (
        [put("regions.ap-south.zones[2]", "ap-south-1z")],
        [
            (
                "hal9:regions.ap-south.zones[2] 'ap-south-1z' is no zone of ap-south-1; it has ap-south-1a, "
                "ap-south-1b or ap-south-1c"
            ),
        ],
    ),
    "a zone twice": (
        [put("regions.ap-south.zones[2]", "ap-south-1a")],
        [
            "hal9:regions.ap-south.zones[2] ap-south-1a is there twice",
        ],
    ),
    "a block too large for a VPC": (
        [put("regions.ap-south.cidr", "10.2.0.0/15")],
        [
            "hal9:regions.ap-south.cidr 10.2.0.0/15 is not between /16 and /21, which a VPC of three tiers needs",
        ],
    ),
    "a block too small for three tiers": (
        [put("regions.ap-south.cidr", "10.2.0.0/24")],
        [
            "hal9:regions.ap-south.cidr 10.2.0.0/24 is not between /16 and /21, which a VPC of three tiers needs",
        ],
    ),
    "a block too small for the pods": (
        [put("regions.ap-south.cidr", "10.2.0.0/21")],
        [
            (
                "hal9:regions.ap-south.cidr 10.2.0.0/21 leaves 502 addresses for pods with a zone lost; "
                "maxReplicas 100, its surge and the nodes need 573: a larger block, or fewer pods"
            ),
        ],
    ),
}


@pytest.mark.parametrize(("edits", "lines"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_with_its_path_and_what_would_be_right(edits: list[Edit], lines: list[str]) -> None:
    assert refusal("prod", *edits) == lines
