"""Bearer tokens of the identity provider: JSON Web Tokens checked against its published keys (JWKS).

Asymmetric signatures only, and each key verifies with its own algorithm alone, so that no token chooses how it
is checked. The keys are cached: refreshed every `REFRESH_SECONDS`, at once for a key id nobody has seen (but not
more often than every `COOLDOWN_SECONDS`, or a stream of made-up ids would be passed on to the provider), and kept
for `STALE_SECONDS` while the provider cannot be reached. Nobody waits long for a key that is known: a provider that is
slow, or publishes what is no key beside what is one, costs the log-ins nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.deployment import IdentityConfig
from app.http.problem import Problem, unavailable

log = logging.getLogger(__name__)

ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
LEEWAY_SECONDS = 30
REFRESH_SECONDS = 300.0
STALE_SECONDS = 24 * 3600.0
COOLDOWN_SECONDS = 10.0
FETCH_TIMEOUT_SECONDS = 3.0
"""For the connecting, and then for the whole of the rest, however many bytes come meanwhile."""
PATIENCE_SECONDS = 0.5
"""How long somebody with a known key waits for a newer copy before the one that is there has to do."""
MAX_KEYS_BYTES = 256 * 1024
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
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
            if found is None:
                await asyncio.shield(reading)
            else:
                await asyncio.wait({reading}, timeout=PATIENCE_SECONDS)
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
            async with asyncio.timeout(2 * FETCH_TIMEOUT_SECONDS):
                keys = _usable(await asyncio.to_thread(self._fetch))
        except Exception as error:  # noqa: BLE001 - what a provider sends has no bounds: it is told, the rest is used
            # Whatever a provider says: whoever asked finds the last good copy, or none; `key` decides by its age.
            log.warning("the identity provider's keys were not read: %s: %s", type(error).__name__, error)
            return
        finally:
            self._tried_at = self._clock()
        self._keys, self._read_at = keys, self._clock()

    def _fetch(self) -> bytes:
        """The document, within twice `FETCH_TIMEOUT_SECONDS`. Raises: OSError, HTTPException, ValueError."""
        if not self._location.startswith("https://"):
            return Path(self._location).read_bytes()
        where = urlsplit(self._location)
        context = ssl.create_default_context(cafile=self._ca_file or None)
        connection = _BoundedConnection(where.hostname or "", where.port, context)
        try:
            connection.request("GET", (where.path or "/") + (f"?{where.query}" if where.query else ""))
            answer = connection.getresponse()
            if answer.status != 200:  # a redirect could lead to plain http or to another host
                raise ValueError(f"the answer was {answer.status}")
            body = answer.read(MAX_KEYS_BYTES + 1)
        finally:
            connection.close()
        if len(body) > MAX_KEYS_BYTES:
            raise ValueError("the key set is too large")
        return body


class _BoundedConnection(http.client.HTTPSConnection):
    """A connection that is cut after `FETCH_TIMEOUT_SECONDS`: a socket's own time-out is for each read alone."""

    def __init__(self, host: str, port: int | None, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=FETCH_TIMEOUT_SECONDS, context=context)
        self._create_connection = self._connected
        self._cutting: threading.Timer | None = None

    def _connected(self, *args: Any, **kwargs: Any) -> socket.socket:
        made = socket.create_connection(*args, **kwargs)
        line = made.dup()  # TLS takes the other one over, and may be what hangs

        def cut() -> None:
            with line, contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

        self._cutting = threading.Timer(FETCH_TIMEOUT_SECONDS, cut)
        self._cutting.daemon = True
        self._cutting.start()
        return made

    def close(self) -> None:
        if self._cutting is not None:
            self._cutting.cancel()
            self._cutting.function()
        super().close()


def _usable(document: bytes) -> dict[str, jwt.PyJWK]:
    """The signing keys of a JWKS document, by id; anything weak, symmetric, nameless or malformed is left out.

    Raises: ValueError where none is left, which no provider means.
    """
    entries = msgspec.json.decode(document, type=dict[str, Any]).get("keys")
    if not isinstance(entries, list):
        raise ValueError("a key set has `keys`")
    keys: dict[str, jwt.PyJWK] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or not isinstance(entry.get("kid"), str):
            continue
        try:
            key = jwt.PyJWK(entry)
        except Exception as error:  # noqa: BLE001 - what a provider sends has no bounds: it is told, the rest is used
            log.warning("key %d of the identity provider is left out: %s", number, type(error).__name__)
            continue
        if key.algorithm_name not in ALGORITHMS:
            continue
        if isinstance(key.key, RSAPublicKey) and not MIN_RSA_BITS <= key.key.key_size <= MAX_RSA_BITS:
            continue
        keys[entry["kid"]] = key
    if not keys:
        raise ValueError("a key set without a usable key")
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
