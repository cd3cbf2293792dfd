"""Secrets in every region, and the session keyring (controls 14 and 22)."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from components.authorities import Authorities
from components.secrets import PASSWORD_LENGTH, SESSION_KEY_BYTES, ReplicatedSecret, SessionKeyring, password
from tests.components.mocked import SECRETS, Built, build, cells, vaults
from tests.stackfiles import put, topology

REGIONS = {"us-west": "us-west-2", "eu-central": "eu-central-1", "ap-south": "ap-south-1"}


@functools.cache
def secrets(stack: str = "prod", preview: bool = False, keys: tuple[str, ...] = ("k1",)) -> Built:
    def make() -> Any:
        ring = [{"id": key, "state": "decrypt" if i else "active"} for i, key in enumerate(keys)]
        parsed = topology(stack, put("sessions.keyring", ring))
        ground = vaults(cells(parsed))
        keyring = SessionKeyring(parsed, ground)
        word = password("word", keyring)
        made = ReplicatedSecret("plain", description="Plain", value="correct-horse", vaults=ground, topology=parsed)
        authorities = Authorities(parsed, ground)
        return {
            "arns": made.arns,
            "word": word,
            "mesh": {n: [a.certificate, a.key, a.root] for n, a in authorities.mesh.items()},
        }

    return build(make, stack=stack, preview=preview)


def test_a_secret_has_a_copy_in_every_region_under_that_regions_key() -> None:
    copies = secrets().of("Secret", below="plain")
    assert {s.region: s.inputs["kmsKeyId"] for s in copies} == {
        aws: f"arn:Key:{r}-secrets" for r, aws in REGIONS.items()
    }
    assert {s.inputs["name"] for s in copies} == {"hal9/prod/plain"}


def test_every_copy_has_the_value_from_its_own_region() -> None:
    versions = secrets().of("SecretVersion", below="plain")
    assert {(v.region, v.inputs["secretId"]) for v in versions} == {
        (aws, f"plain-in-{r}-id") for r, aws in REGIONS.items()
    }


def test_a_value_that_was_not_secret_becomes_one() -> None:
    assert {str(v.inputs["secretString"]) for v in secrets().of("SecretVersion")} == {"[secret]"}


def test_before_the_deployment_a_value_that_will_be_secret_is_already_marked() -> None:
    made = [v for v in secrets(preview=True).of("SecretVersion") if not v.name.startswith("plain")]
    assert {str(v.inputs["secretString"]) for v in made} == {"[unknown secret]"}


@pytest.mark.parametrize("preview", [False, True])
def test_no_secret_is_in_plain_in_what_the_engine_gets(preview: bool) -> None:
    everything = "".join(f"{r.inputs}{r.outputs}" for r in secrets(preview=preview).resources)
    assert not [secret for secret in SECRETS if secret in everything]


@pytest.mark.parametrize(("stack", "days", "kept"), [("prod", 30, True), ("dev", 0, False)])
def test_production_can_take_back_a_deleted_secret(stack: str, days: int, kept: bool) -> None:
    assert {(s.inputs["recoveryWindowInDays"], s.protect) for s in secrets(stack).of("Secret")} == {(days, kept)}


def test_a_password_is_long_and_has_no_character_that_must_be_quoted() -> None:
    word = secrets().one("RandomPassword", "word").inputs
    assert (word["length"], word["special"]) == (PASSWORD_LENGTH, False)
    assert PASSWORD_LENGTH * 5 > 128  # letters and digits: more than five bits each


def test_each_session_key_has_bytes_of_its_own() -> None:
    found = secrets(keys=("k2", "k1"))
    assert {b.name: b.inputs["length"] for b in found.of("RandomBytes")} == {
        f"session-key-{k}": SESSION_KEY_BYTES for k in ("k2", "k1")
    }
    assert SESSION_KEY_BYTES * 8 == 256


def test_a_new_session_key_changes_no_other() -> None:
    one, two = secrets(), secrets(keys=("k2", "k1"))
    before = {r.urn: r.inputs for r in one.below("session-keyring")}
    after = {r.urn: r.inputs for r in two.below("session-keyring")}
    assert before == {urn: after[urn] for urn in before}


def test_session_keys_are_protected_in_production() -> None:
    assert [b.protect for b in secrets().of("RandomBytes")] == [True]
    assert [b.protect for b in secrets("dev").of("RandomBytes")] == [False]


# Authorities.


def test_the_mesh_and_the_gateways_have_roots_of_their_own() -> None:
    assert {c.name for c in secrets().of("SelfSignedCert")} == {"gateway-root", "mesh-root"}
    assert len(secrets().of("PrivateKey")) == 2 + 1 + len(REGIONS)


def test_each_regions_mesh_has_an_intermediate_authority_below_one_root() -> None:
    certificates = [c for c in secrets().of("LocallySignedCert") if c.name.startswith("mesh-")]
    assert {c.name for c in certificates} == {f"mesh-{region}" for region in REGIONS}
    assert {c.inputs["isCaCertificate"] for c in certificates} == {True}
    assert {c.inputs["caCertPem"] for c in certificates} == {"root-pem"}


def test_nginxs_certificate_signs_nothing_and_names_the_domain_and_the_origin() -> None:
    found = secrets()
    assert found.one("LocallySignedCert", "gateway-server").inputs["isCaCertificate"] is False
    assert {"hal9.ai", "origin.hal9.ai"} <= set(found.one("CertRequest", "gateway-server").inputs["dnsNames"])


def test_a_certificate_is_renewed_before_it_ends() -> None:
    certificates = secrets().of("LocallySignedCert") + secrets().of("SelfSignedCert")
    assert all(0 < c.inputs["earlyRenewalHours"] < c.inputs["validityPeriodHours"] for c in certificates)


def test_nginxs_key_is_in_every_region() -> None:
    assert {s.region for s in secrets().of("Secret", below="gateway-tls")} == set(REGIONS.values())


def test_it_exports_an_arn_for_each_region() -> None:
    assert secrets().value["arns"] == {region: f"arn:Secret:plain-in-{region}" for region in REGIONS}


def test_a_retired_key_can_go() -> None:
    """B4: the engine deletes nothing that is protected, and the last step of a rotation ended in a refused `up`."""

    def make() -> None:
        parsed = topology(
            "prod", put("sessions.keyring", [{"id": "k1", "state": "retired"}, {"id": "k2", "state": "active"}])
        )
        SessionKeyring(parsed, vaults(cells(parsed)))

    built = build(make)
    protected = {r.name: r.protect for r in built.of("RandomBytes") + built.of("Secret")}
    assert {name: kept for name, kept in protected.items() if "k1" in name} == {
        "session-key-k1": False,
        **{f"session-key-k1-in-{region}": False for region in ("us-west", "eu-central", "ap-south")},
    }
    assert all(kept for name, kept in protected.items() if "k2" in name)
