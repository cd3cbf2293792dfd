"""The domain: its zone, and the certificate that waits for its proof."""

from __future__ import annotations

import functools
from typing import Any

from tests.components import mocked
from tests.components.mocked import Built, build
from tests.stackfiles import put, topology


@functools.cache
def domain(given: str = "", preview: bool = False) -> Built:
    def make() -> Any:
        made = mocked.domain(topology("prod", put("edge.hostedZoneId", given)))
        return {"servers": made.name_servers, "certificate": made.certificate_arn, "zone": made.zone_id}

    return build(make, preview=preview)


def test_the_zone_is_made_where_none_is_given() -> None:
    assert domain().one("Zone").inputs["name"] == "hal9.ai"
    assert domain().value["servers"] == ["ns-1.example", "ns-2.example"]


def test_a_given_zone_is_used_and_none_is_made() -> None:
    assert domain("Z123").of("Zone") == []
    assert {r.inputs["zoneId"] for r in domain("Z123").of("Record")} == {"Z123"}
    assert domain("Z123").value["servers"] is None


def test_a_certificate_is_proved_in_the_zone_and_waited_for() -> None:
    record = domain().one("Record", "certificate-proof").inputs
    assert (record["name"], record["type"], record["records"]) == ("_proof.hal9.ai", "CNAME", ["_value.aws"])
    valid = domain().one("CertificateValidation", "edge").inputs
    assert (valid["certificateArn"], valid["validationRecordFqdns"]) == ("arn:Certificate:edge", ["record.hal9.ai"])


def test_the_zone_is_protected_in_production() -> None:
    assert domain().one("Zone").protect


def test_it_exports_the_zone_and_a_certificate_that_is_valid() -> None:
    assert (domain().value["zone"], domain().value["certificate"]) == ("ZDOMAIN", "arn:aws:acm:valid")
    assert domain("Z123").value["zone"] == "Z123"
