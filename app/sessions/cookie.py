"""The session's cookie: `__Host-session`, which a browser takes over TLS from this very host alone (RFC 6265bis)."""

from __future__ import annotations

import re
import secrets

NAME = "__Host-session"
ID_BYTES = 32
_ID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def new_id() -> str:
    """A new session id: 256 random bits, base64url, 43 characters. Ids are made here and nowhere else."""
    return secrets.token_urlsafe(ID_BYTES)


def is_id(text: str) -> bool:
    """Whether `text` has the form of a session id."""
    return _ID.fullmatch(text) is not None


def make(session_id: str, max_age: int) -> str:
    """The value of Set-Cookie. `max_age` in seconds: what is left of the session, so that browsers drop it in time."""
    return f"{NAME}={session_id}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={max_age}"


def clear() -> str:
    """The value of Set-Cookie that makes the browser forget it."""
    return f"{NAME}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


def read(header: str) -> str | None:
    """The session id in a Cookie header, or None: no cookie, two of them, or none of our form."""
    found = [
        value.strip() for name, _, value in (pair.partition("=") for pair in header.split(";")) if name.strip() == NAME
    ]
    return found[0] if len(found) == 1 and is_id(found[0]) else None
