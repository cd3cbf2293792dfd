"""Bearer tokens of the identity provider: JSON Web Tokens checked against its published keys (JWKS).

Asymmetric signatures only, and each key verifies with its own algorithm alone, so that no token chooses how it
is checked. The keys are cached: refreshed every `REFRESH_SECONDS`, at once for a key id nobody has seen (but not
more often than every `COOLDOWN_SECONDS`, or a stream of made-up ids would be passed on to the provider), and kept
for `STALE_SECONDS` while the provider cannot be reached.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.deployment import IdentityConfig
from app.http.problem import Problem, unavailable

ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
LEEWAY_SECONDS = 30
REFRESH_SECONDS = 300.0
STALE_SECONDS = 24 * 3600.0
COOLDOWN_SECONDS = 10.0
FETCH_TIMEOUT_SECONDS = 3.0
MAX_KEYS_BYTES = 256 * 1024
MIN_RSA_BITS = 2048
MAX_TOKEN_BYTES = 8192


class Claims(msgspec.Struct, frozen=True):
    """What is taken from a token that verified."""

    subject: str
    expires_at: int


class KeysUnavailable(Exception):
    """The provider's keys could not be read, and there is no copy that is still good."""


class KeySet:
    """The provider's public keys by key id, read from an https URL or a file.

    `clock` is monotonic and in seconds; tests set it and the intervals.
    """

    def __init__(
        self,
        location: str,
        *,
        ca_file: str = "",
        refresh_seconds: float = REFRESH_SECONDS,
        cooldown_seconds: float = COOLDOWN_SECONDS,
        stale_seconds: float = STALE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if "://" in location and not location.startswith("https://"):
            raise ValueError(f"identity.jwks is {location!r}: an https URL or a file path is needed")
        self._location = location
        self._ca_file = ca_file
        self._refresh_seconds = refresh_seconds
        self._cooldown_seconds = cooldown_seconds
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def key(self, key_id: str) -> jwt.PyJWK | None:
        """The key of this id, or None where the provider has none. Raises `KeysUnavailable`."""
        now = self._clock()
        age = now - self._read_at
        found = self._keys.get(key_id)
        if found is not None and age < self._refresh_seconds:
            return found
        if self._reading is not None or now - self._tried_at >= self._cooldown_seconds:
            reading = self._read()
            if found is not None and age < 2 * self._refresh_seconds:
                return found  # the new copy is under way; nobody waits for it yet
            await asyncio.shield(reading)
        if self._clock() - self._read_at > self._stale_seconds:
            raise KeysUnavailable(self._location)
        return self._keys.get(key_id)

    def _read(self) -> asyncio.Task[None]:
        """One reading for all who wait; one who is cancelled does not cancel it for the others."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._refresh())
            self._reading.add_done_callback(self._done)
        return self._reading

    def _done(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _refresh(self) -> None:
        try:
            keys = _usable(await asyncio.to_thread(self._fetch))
        except (OSError, ValueError, jwt.PyJWTError):
            # Whoever asked finds the last good copy, or none: `key` decides by its age.
            return
        finally:
            self._tried_at = self._clock()
        self._keys, self._read_at = keys, self._clock()

    def _fetch(self) -> bytes:
        if not self._location.startswith("https://"):
            return Path(self._location).read_bytes()
        context = ssl.create_default_context(cafile=self._ca_file or None)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect())
        with opener.open(self._location, timeout=FETCH_TIMEOUT_SECONDS) as answer:
            body: bytes = answer.read(MAX_KEYS_BYTES + 1)
        if len(body) > MAX_KEYS_BYTES:
            raise ValueError("the key set is too large")
        return body


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could lead to plain http or to another host: it is an error."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _usable(document: bytes) -> dict[str, jwt.PyJWK]:
    """The signing keys of a JWKS document, by id; anything weak, symmetric or nameless is left out."""
    entries = msgspec.json.decode(document, type=dict[str, Any]).get("keys")
    if not isinstance(entries, list):
        raise ValueError("a key set has `keys`")
    keys: dict[str, jwt.PyJWK] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue  # a kind of key this library does not know; the others are still good
        if key.key_id is None or key.algorithm_name not in ALGORITHMS:
            continue
        if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
            continue
        keys[key.key_id] = key
    return keys


class Identity:
    """Checks bearer tokens of one issuer. `refused` is told the reason of each refusal, for the metric."""

    def __init__(self, config: IdentityConfig, keys: KeySet, refused: Callable[[str], object] | None = None) -> None:
        self._config = config
        self._keys = keys
        self._refused = refused

    async def user(self, authorization: bytes | None) -> UUID:
        """The user whose token this is. Raises `Problem` 401 with the reason, 503 where the keys are away."""
        claims = await self._claims(authorization, self._config.audience)
        try:
            return UUID(claims.subject)
        except ValueError:
            raise self._refuse("subject", "The token's subject is not a user id.") from None

    async def service(self, authorization: bytes | None) -> str:
        """The subject of the identity provider's own token. Raises as `user`."""
        return (await self._claims(authorization, self._config.service_audience)).subject

    async def _claims(self, authorization: bytes | None, audience: str) -> Claims:
        token = self._token(authorization)
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except _UNREADABLE:
            raise self._refuse("malformed", "The token is not a JSON Web Token.") from None
        if not isinstance(key_id, str):
            raise self._refuse("key", "The token names no key.")
        try:
            key = await self._keys.key(key_id)
        except KeysUnavailable:
            raise unavailable("identity-unavailable", "The identity provider's keys cannot be read.", 5) from None
        if key is None:
            raise self._refuse("key", "The token is signed with a key the identity provider does not publish.")
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=audience,
                issuer=self._config.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except _UNREADABLE as error:
            raise self._refuse(*_REASONS.get(type(error), ("signature", "The token does not verify."))) from None
        return Claims(subject=claims["sub"], expires_at=int(claims["exp"]))

    def _token(self, authorization: bytes | None) -> str:
        if authorization is None:
            raise self._refuse("missing", "A bearer token is needed.")
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise self._refuse("missing", "The Authorization header has no bearer token.")
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise self._refuse("malformed", "The token is not a JSON Web Token.")
        return token.decode("ascii")

    def _refuse(self, reason: str, detail: str) -> Problem:
        if self._refused is not None:
            self._refused(reason)
        challenge = b"Bearer" if reason == "missing" else b'Bearer error="invalid_token"'
        return Problem(401, f"token-{reason}", detail, ((b"www-authenticate", challenge),))


_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What a made-up token can raise: a number too large, a header nested too deep, besides the library's own errors."""

_REASONS: dict[type[Exception], tuple[str, str]] = {
    jwt.ExpiredSignatureError: ("expired", "The token has expired."),
    jwt.ImmatureSignatureError: ("not-yet", "The token is not valid yet."),
    jwt.InvalidIssuedAtError: ("not-yet", "The token's time of issue is not valid."),
    jwt.InvalidAudienceError: ("audience", "The token is for another audience."),
    jwt.InvalidIssuerError: ("issuer", "The token is from another issuer."),
    jwt.MissingRequiredClaimError: ("claims", "The token lacks one of exp, iat, iss, aud, sub."),
    jwt.InvalidAlgorithmError: ("algorithm", "The token's algorithm is not the one of its key."),
}
