"""The mesh's authorities as the program makes them: one root, an intermediate a region, a certificate a workload."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Signed:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self) -> bytes:
        """The key."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def authority(name: str, issuer: Signed | None = None) -> Signed:
    """A root, or an authority that `issuer` signs."""
    return _sign(name, issuer, authority=True)


def workload(namespace: str, account: str, issuer: Signed) -> Signed:
    """A workload's certificate, which names its service account as SPIFFE does."""
    return _sign("workload", issuer, uri=f"spiffe://cluster.local/ns/{namespace}/sa/{account}")


def write(folder: Path, name: str, one: Signed, chain: Signed) -> tuple[Path, Path]:
    """The certificate with its chain, and the key, as files."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    certificate.write_bytes(one.pem() + chain.pem())
    key.write_bytes(one.key_pem())
    return certificate, key


def _sign(name: str, issuer: Signed | None, *, authority: bool = False, uri: str = "") -> Signed:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if uri:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=True)
    return Signed(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)
