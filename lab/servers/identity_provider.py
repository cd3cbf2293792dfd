"""A stand-in for the identity provider: keys of its own, published as a JWKS file, and tokens signed with them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from app.deployment import IdentityConfig

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

TOKEN_SECONDS = 3600


def algorithm(key: PrivateKey) -> str:
    """The JWT algorithm that signs with a key of this kind."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else "ES256"


class IdentityProvider:
    """Signs tokens for one issuer; `path` is the JWKS file it publishes. It begins with one key, `one`.

    `keys` are its private keys by id; after changing them call `publish`.
    """

    def __init__(self, path: Path, issuer: str = "https://identity.hal9.test", audience: str = "hal9") -> None:
        self.path = path
        self.config = IdentityConfig(
            issuer=issuer, audience=audience, service_audience=f"{audience}-service", jwks=str(path)
        )
        self.keys: dict[str, PrivateKey] = {}
        self.add("one")

    def add(self, key_id: str, key: PrivateKey | None = None) -> None:
        """Take a key (a new P-256 one unless given) and publish it."""
        self.keys[key_id] = key or ec.generate_private_key(ec.SECP256R1())
        self.publish()

    def publish(self) -> None:
        """Write the public keys, so that a reader never sees half a file."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"keys": [self._public(key_id) for key_id in self.keys]}))
        fresh.chmod(0o644)
        fresh.replace(self.path)

    def _public(self, key_id: str) -> dict[str, Any]:
        key = self.keys[key_id]
        name = algorithm(key)
        public: str = jwt.get_algorithm_by_name(name).to_jwk(key.public_key())
        return {**json.loads(public), "kid": key_id, "use": "sig", "alg": name}

    def token(self, subject: object, *, key_id: str = "one", **claims: Any) -> str:
        """A token for `subject`, good for an hour. `claims` replace what it would carry; None leaves a claim out."""
        now = int(time.time())
        carried = {
            "sub": str(subject),
            "iss": self.config.issuer,
            "aud": self.config.audience,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            **claims,
        }
        key = self.keys[key_id]
        present = {name: value for name, value in carried.items() if value is not None}
        return jwt.encode(present, key, algorithm=algorithm(key), headers={"kid": key_id})

    def service_token(self, **claims: Any) -> str:
        """The provider's own token, which registers users."""
        return self.token("identity-provider", **{"aud": self.config.service_audience, **claims})
