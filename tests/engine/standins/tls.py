"""The stand-in for the TLS provider, which really makes keys and certificates."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from tests.engine.standins.cloud import Refused
from tests.engine.standins.package import Made, Values

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CURVES: dict[str, ec.EllipticCurve] = {"P256": ec.SECP256R1(), "P384": ec.SECP384R1(), "P521": ec.SECP521R1()}
_NAMES = {
    "commonName": NameOID.COMMON_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "country": NameOID.COUNTRY_NAME,
}
_USES = {
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
}


class Tls:
    """See `Package`."""

    name = "tls"

    def scope(self, token: str, inputs: Values, config: Values) -> str:
        """See `Package.scope`: these are nowhere but in the state."""
        return self.name

    def create(self, token: str, logical_name: str, inputs: Values, config: Values, serial: int) -> Made:
        """See `Package.create`."""
        makers: dict[str, Callable[[Values], dict[str, Any]]] = {
            "PrivateKey": _private_key,
            "SelfSignedCert": _self_signed,
            "CertRequest": _request,
            "LocallySignedCert": _locally_signed,
        }
        kind = token.rpartition(":")[2]
        if kind not in makers:
            raise Refused(f"the stand-in for tls makes no {kind}")
        outputs = makers[kind](inputs)
        public = outputs.get("publicKeyPem") or outputs.get("certPem") or outputs.get("certRequestPem") or ""
        made_id = hashlib.sha1(str(public).encode(), usedforsecurity=False).hexdigest()
        return Made(made_id, {**inputs, **outputs, "id": made_id})

    def update(self, token: str, before: Values, inputs: Values) -> dict[str, Any]:
        """See `Package.update`."""
        return {**before, **inputs}

    def replaces(self, token: str, changed: set[str]) -> set[str]:
        """A key or certificate is made once; only the time of its early renewal is no part of it."""
        return changed - {"earlyRenewalHours"}

    def functions(self) -> Mapping[str, Callable[[Values, Values], dict[str, Any]]]:
        """None."""
        return {}


def _pem(key: Key) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _private_key(given: Values) -> dict[str, Any]:
    key: Key
    if given["algorithm"] == "RSA":
        key = rsa.generate_private_key(65537, int(given.get("rsaBits") or 2048))
    elif given["algorithm"] == "ECDSA":
        key = ec.generate_private_key(_CURVES[given.get("ecdsaCurve") or "P256"])
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    pem = _pem(key)
    return {
        "privateKeyPem": pem,
        "privateKeyPemPkcs8": pem,
        "privateKeyOpenssh": "",
        "publicKeyPem": public.decode(),
        "publicKeyOpenssh": "",
        "publicKeyFingerprintMd5": "",
        "publicKeyFingerprintSha256": "",
        "ecdsaCurve": given.get("ecdsaCurve") or "P224",
        "rsaBits": given.get("rsaBits") or 2048,
    }


def _load(pem: str) -> Key:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
        raise Refused("privateKeyPem is no RSA, ECDSA or ED25519 key")
    return key


def _algorithm(key: Key) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _subject(given: Values) -> x509.Name:
    subject = given.get("subject") or {}
    return x509.Name([x509.NameAttribute(oid, subject[name]) for name, oid in _NAMES.items() if subject.get(name)])


def _names(given: Values) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in given.get("dnsNames") or []),
        *(x509.IPAddress(ipaddress.ip_address(text)) for text in given.get("ipAddresses") or []),
        *(x509.UniformResourceIdentifier(uri) for uri in given.get("uris") or []),
    ]


def _certificate(
    given: Values, subject: x509.Name, issuer: x509.Name, public: Any, signer: Key, names: Any
) -> dict[str, Any]:
    start = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    end = start + datetime.timedelta(hours=int(given["validityPeriodHours"]))
    authority = bool(given.get("isCaCertificate"))
    uses = {field: use in given["allowedUses"] for use, field in _USES.items()}
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(encipher_only=False, decipher_only=False, **uses), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = builder.sign(signer, _algorithm(signer)).public_bytes(serialization.Encoding.PEM).decode()
    return {
        "certPem": pem,
        "keyAlgorithm": "ECDSA" if isinstance(signer, ec.EllipticCurvePrivateKey) else "RSA",
        "validityStartTime": start.isoformat(),
        "validityEndTime": end.isoformat(),
        "readyForRenewal": False,
    }


def _self_signed(given: Values) -> dict[str, Any]:
    key, subject = _load(given["privateKeyPem"]), _subject(given)
    return _certificate(given, subject, subject, key.public_key(), key, _names(given))


def _request(given: Values) -> dict[str, Any]:
    key = _load(given["privateKeyPem"])
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(given))
    if names := _names(given):
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = builder.sign(key, _algorithm(key)).public_bytes(serialization.Encoding.PEM).decode()
    return {"certRequestPem": pem, "keyAlgorithm": "ECDSA" if isinstance(key, ec.EllipticCurvePrivateKey) else "RSA"}


def _locally_signed(given: Values) -> dict[str, Any]:
    request = x509.load_pem_x509_csr(given["certRequestPem"].encode())
    authority = x509.load_pem_x509_certificate(given["caCertPem"].encode())
    signer = _load(given["caPrivateKeyPem"])
    names = [
        name
        for extension in request.extensions
        if isinstance(extension.value, x509.SubjectAlternativeName)
        for name in extension.value
    ]
    made = _certificate(given, request.subject, authority.subject, request.public_key(), signer, names)
    return {**made, "caKeyAlgorithm": made["keyAlgorithm"]}
