"""Sessions at rest: AES-256-GCM under a keyring, bound to the place where they lie.

An envelope is

    0x01 | length of the key id (1 byte) | key id | nonce (12 random bytes) | ciphertext and tag (16 bytes)

and the tag also covers (AAD) the format, the record's version, the key id, the region and the session id, so that
no envelope opens in another row, in another region, at another version or under another key's name. Each key of
the keyring gives 4,096 keys by HKDF-SHA256 (RFC 5869), chosen by the first two characters (12 bits) of the session
id: random nonces are safe for 2^32 uses of one AES-GCM key (NIST SP 800-38D, 8.3), so a key of the keyring is good
for 2^44 envelopes, and the ciphers can be kept ready. tests/app/sessions/test_crypto.py holds a golden vector.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.deployment import Deployment
from app.metrics import KeySample
from app.redis.clients import secret

FORMAT = 1
NONCE_BYTES = 12
KEY_BYTES = 32


class SessionRefused(Exception):
    """Bytes that are no session of ours here and now: the user logs in again.

    `reason`: `malformed`, `unknown-key`, `retired-key`, or `forged` (altered, or moved from another place).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stored session was refused: {reason}")
        self.reason = reason


class KeyringError(ValueError):
    """The keyring cannot be used: a key's file is missing or holds no 32 bytes, or not exactly one key is active."""


class SessionKeyring:
    """Keys by id with their states. One is active and seals; `active` and `decrypt` open; `retired` is refused.

    `keys`: id to (state, 32 bytes; None for a retired key, whose bytes nobody needs).
    """

    __slots__ = ("_ciphers", "_keys", "_sealing", "_since", "_states", "active")

    def __init__(self, keys: dict[str, tuple[str, bytes | None]], since: float | None = None) -> None:
        active = [key for key, (state, _) in keys.items() if state == "active"]
        if len(active) != 1:
            raise KeyringError(f"{len(active)} active session keys; exactly one encrypts")
        self.active = active[0]
        self._states = {key.encode(): state for key, (state, _) in keys.items()}
        self._keys: dict[bytes, bytes] = {}
        for key, (state, material) in keys.items():
            if state == "retired":
                continue
            if material is None or len(material) != KEY_BYTES:
                raise KeyringError(f"session key {key} is not {KEY_BYTES} bytes")
            self._keys[key.encode()] = material
        encoded = self.active.encode()
        self._sealing = bytes([FORMAT, len(encoded)]) + encoded
        self._ciphers: dict[tuple[bytes, str], AESGCM] = {}
        self._since = time.time() if since is None else since

    @classmethod
    def load(cls, deployment: Deployment) -> SessionKeyring:
        """The document's keyring with the keys of its secret files.

        Raises: KeyringError. Names the file, never its content.
        """
        keys: dict[str, tuple[str, bytes | None]] = {}
        for key in deployment.sessions.keyring:
            material: bytes | None = None
            if key.state != "retired":
                text = secret(deployment, f"session-key-{key.id}")
                if text is None:
                    raise KeyringError(f"there is no secret file session-key-{key.id}")
                try:
                    material = base64.b64decode(text, validate=True)
                except binascii.Error:
                    raise KeyringError(f"session-key-{key.id} is no base64") from None
            keys[key.id] = (key.state, material)
        return cls(keys)

    def seal(self, payload: bytes, version: int, region: str, session_id: str) -> bytes:
        """The envelope of `payload` for exactly this place."""
        header = self._sealing
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._cipher(header[2:], session_id)
        return header + nonce + cipher.encrypt(nonce, payload, _aad(header, version, region, session_id))

    def open(self, envelope: bytes, version: int, region: str, session_id: str) -> bytes:
        """The payload. Raises: SessionRefused."""
        if len(envelope) < 2 or envelope[0] != FORMAT:
            raise SessionRefused("malformed")
        after = 2 + envelope[1]
        header = envelope[:after]
        cipher = self._ciphers.get((header[2:], session_id[:2])) or self._cipher(header[2:], session_id)
        start = after + NONCE_BYTES
        try:
            return cipher.decrypt(envelope[after:start], envelope[start:], _aad(header, version, region, session_id))
        except (InvalidTag, ValueError):
            raise SessionRefused("forged") from None

    def samples(self) -> Iterator[KeySample]:
        """The active key and since when this process has seen it active, for the metrics."""
        yield KeySample(self.active, time.time() - self._since)

    def _cipher(self, key_id: bytes, session_id: str) -> AESGCM:
        """The cipher of the session's bucket. Raises: SessionRefused for a key that is not (or no longer) ours."""
        bucket = session_id[:2]
        cipher = self._ciphers.get((key_id, bucket))
        if cipher is None:
            material = self._keys.get(key_id)
            if material is None:
                raise SessionRefused("retired-key" if self._states.get(key_id) == "retired" else "unknown-key")
            info = b"hal9 session " + bucket.encode()
            derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(material)
            cipher = self._ciphers[key_id, bucket] = AESGCM(derived)
        return cipher

    def __repr__(self) -> str:
        return f"SessionKeyring(active={self.active!r}, keys={len(self._states)})"


def _aad(header: bytes, version: int, region: str, session_id: str) -> bytes:
    """What the tag covers beside the ciphertext. Lengths are fixed or told, so no two places give the same bytes."""
    return header + f"{version}|{len(region)}|{region}|{session_id}".encode()
