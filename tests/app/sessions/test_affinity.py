from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from app.deployment import Deployment, Endpoint, RegionConfig, SessionStore
from app.sessions.affinity import Affinity
from tests.app.fixtures_sessions import bare_document

NOWHERE = Endpoint(host="127.0.0.1", port=1, tls=False)


@pytest.fixture
def document(tmp_path: Path) -> Deployment:
    return msgspec.structs.replace(
        bare_document(tmp_path),
        regions=tuple(
            RegionConfig(name=name, cache=NOWHERE, sessions=SessionStore(primary=NOWHERE))
            for name in ("us-west", "eu-central", "ap-south")
        ),
        countries={"DE": "eu-central", "IN": "ap-south"},
        networks={"10.0.0.0/8": "us-west", "10.1.0.0/16": "eu-central", "2001:db8::/32": "ap-south"},
    )


@pytest.mark.parametrize(
    ("headers", "address", "region"),
    [
        pytest.param({"x-user-region": "ap-south"}, "10.1.0.1", "ap-south", id="the edge's word is first"),
        pytest.param({"x-user-region": "mars"}, "10.1.0.1", "eu-central", id="an unknown region is no word"),
        pytest.param({}, "10.1.2.3", "eu-central", id="the longest prefix wins"),
        pytest.param({}, "10.2.0.1", "us-west", id="the shorter prefix where no longer one matches"),
        pytest.param({}, "2001:db8::7", "ap-south", id="IPv6"),
        pytest.param({"cloudfront-viewer-country": "IN"}, "10.1.0.1", "eu-central", id="network before country"),
        pytest.param({"cloudfront-viewer-country": "in"}, "192.0.2.1", "ap-south", id="country"),
        pytest.param({"cloudfront-viewer-country": "BR"}, "192.0.2.1", "us-west", id="else here"),
        pytest.param({}, "no address", "us-west", id="no address"),
    ],
)
def test_a_user_s_region(document: Deployment, headers: dict[str, str], address: str, region: str) -> None:
    assert Affinity(document).determine_region(headers, address) == region
