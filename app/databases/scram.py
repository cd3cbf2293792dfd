"""What a server keeps of a password, made here, so that no statement carries a password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_ITERATIONS = 4096
"""PostgreSQL's own default (scram_iterations)."""


def verifier(password: str, salt: bytes | None = None) -> str:
    """What a server keeps of a password for SCRAM-SHA-256 (RFC 5803), so that none is in the statement that sets it."""
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return (
        f"SCRAM-SHA-256${_ITERATIONS}:{base64.b64encode(salt).decode()}"
        f"${base64.b64encode(stored).decode()}:{base64.b64encode(server).decode()}"
    )
