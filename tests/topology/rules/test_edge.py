"""Rules of edge: countries, CloudFront, the mesh's weights. Each
mistake in production's stack file, and its refusal to the letter.
"""

from __future__ import annotations

import pytest

from tests.stackfiles import Edit, put, refusal

MISTAKES: dict[str, tuple[list[Edit], list[str]]] = {
    "a country that is none": (
        [put("regions.us-west.countries[1]", "UK")],
        [
            "hal9:regions.us-west.countries[1] 'UK' is no country; did you mean GB?",
        ],
    ),
    "a country in two regions": (
        [put("regions.eu-central.countries[0]", "CA")],
        [
            (
                "hal9:regions.eu-central.countries[0] CA is in regions.us-west.countries already; a country "
                "belongs to one region"
            ),
        ],
    ),
    "a country that the edge blocks": (
        [put("regions.us-west.countries[0]", "CU")],
        [
            "hal9:regions.us-west.countries[0] CU is in edge.blockedCountries too; the edge would refuse its users",
        ],
    ),
    "a blocked country that is none": (
        [put("edge.blockedCountries", ["XX"])],
        [
            "hal9:edge.blockedCountries[0] 'XX' is no country; an ISO 3166-1 code of two capital letters such as DE",
        ],
    ),
    "a default region that is none": (
        [put("edge.defaultRegion", "us-east")],
        [
            "hal9:edge.defaultRegion 'us-east' is no region; there are us-west, eu-central, ap-south",
        ],
    ),
    "an AWS region whose CloudFront addresses are not known": (
        [
            put("regions.ap-south.awsRegion", "ap-south-2"),
            put("regions.ap-south.zones", ["ap-south-2a", "ap-south-2b", "ap-south-2c"]),
        ],
        [
            (
                "hal9:regions.ap-south.awsRegion CloudFront's prefix list in ap-south-2 is not known here; "
                "known are ap-northeast-1, ap-northeast-2, ap-south-1, ap-southeast-1, ap-southeast-2, "
                "ca-central-1, eu-central-1, eu-north-1, "
                "eu-west-1, eu-west-2, eu-west-3, sa-east-1, us-east-1, us-east-2, us-west-1 or us-west-2"
            ),
        ],
    ),
    "weights that do not add up": (
        [put("mesh.weights", {"us-west": 34, "eu-central": 33, "ap-south": 32})],
        [
            "hal9:mesh.weights add up to 99, not 100",
        ],
    ),
    "a weight for no region": (
        [put("mesh.weights", {"us-west": 34, "eu-central": 33, "ap-south": 33, "sa-east": 0})],
        [
            "hal9:mesh.weights.sa-east 'sa-east' is no region; there are us-west, eu-central, ap-south",
        ],
    ),
    "a region without a weight": (
        [put("mesh.weights", {"us-west": 50, "eu-central": 50})],
        [
            "hal9:mesh.weights.ap-south is missing; 0 keeps requests without a region away from it",
        ],
    ),
}


@pytest.mark.parametrize(("edits", "lines"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_with_its_path_and_what_would_be_right(edits: list[Edit], lines: list[str]) -> None:
    assert refusal("prod", *edits) == lines
