"""Bearer tokens: what verifies, what is refused and why, and how the keys follow their provider."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hmac
import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from jwt.utils import base64url_encode

from app.http import identity as identity_module
from app.http.identity import Identity, KeySet, KeysUnavailable
from app.http.problem import Problem
from lab.servers.identity_provider import IdentityProvider

USER = uuid4()
SERVICE = "hal9-service"


def bearer(provider: IdentityProvider, **changes: Any) -> bytes:
    return b"Bearer " + provider.token(USER, **changes).encode()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider(tmp_path: Path) -> IdentityProvider:
    return IdentityProvider(tmp_path / "jwks.json")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def identity(provider: IdentityProvider, clock: Clock) -> Identity:
    return Identity(provider.config, KeySet(str(provider.path), clock=clock))


async def refusal(identity: Identity, authorization: bytes | None) -> str:
    with pytest.raises(Problem) as caught:
        await identity.user(authorization)
    assert caught.value.status == 401
    assert dict(caught.value.headers)[b"www-authenticate"].startswith(b"Bearer")
    return caught.value.kind


async def test_a_good_token_names_its_user(identity: Identity, provider: IdentityProvider) -> None:
    assert await identity.user(bearer(provider)) == USER


@pytest.mark.parametrize("make", [lambda: rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate])
async def test_rsa_and_edwards_keys_verify_too(identity: Identity, provider: IdentityProvider, make: Any) -> None:
    provider.add("other", make())
    assert await identity.user(bearer(provider, key_id="other")) == USER


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 31}, "token-expired"),
        ({"nbf": int(time.time()) + 600}, "token-not-yet"),
        ({"iat": int(time.time()) + 600}, "token-not-yet"),
        ({"aud": "someone-else"}, "token-audience"),
        ({"aud": SERVICE}, "token-audience"),
        ({"iss": "https://evil.test"}, "token-issuer"),
        ({"sub": "not-a-uuid"}, "token-subject"),
        ({"exp": None}, "token-claims"),
        ({"sub": None}, "token-claims"),
    ],
)
async def test_a_token_with_a_wrong_claim_is_refused_with_the_reason(
    identity: Identity, provider: IdentityProvider, changes: dict[str, Any], reason: str
) -> None:
    assert await refusal(identity, bearer(provider, **changes)) == reason


async def test_a_clock_that_is_a_little_off_is_forgiven(identity: Identity, provider: IdentityProvider) -> None:
    assert await identity.user(bearer(provider, exp=int(time.time()) - 20)) == USER


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic eDp5",
        b"Bearer x",
        b"Bearer a.b.c",
        b"Bearer \xff\xfe",
        b"Bearer " + b"a" * 9000,
    ],
)
async def test_what_is_no_token_is_refused(identity: Identity, authorization: bytes | None) -> None:
    assert await refusal(identity, authorization) in {"token-missing", "token-malformed"}


async def test_a_header_nested_too_deep_is_refused(identity: Identity) -> None:
    nested = base64url_encode(b'{"kid":' + b"[" * 5000)
    assert await refusal(identity, b"Bearer " + nested[:8000] + b".e30.AA") == "token-malformed"


async def test_a_token_signed_by_another_key_of_the_same_name_is_refused(identity: Identity, tmp_path: Path) -> None:
    forger = IdentityProvider(tmp_path / "forger.json")
    assert await refusal(identity, bearer(forger)) == "token-signature"


async def test_an_unsigned_token_is_refused(identity: Identity, provider: IdentityProvider) -> None:
    claims = jwt.decode(bearer(provider).removeprefix(b"Bearer "), options={"verify_signature": False})
    token = jwt.encode(claims, "", algorithm="none", headers={"kid": "one"})
    assert await refusal(identity, b"Bearer " + token.encode()) == "token-algorithm"


async def test_the_public_key_as_a_shared_secret_is_refused(identity: Identity, provider: IdentityProvider) -> None:
    public = (
        provider.keys["one"]
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    head, payload = (
        base64url_encode(json.dumps(part).encode())
        for part in ({"alg": "HS256", "kid": "one"}, {"sub": str(USER), "aud": "hal9"})
    )
    signature = base64url_encode(hmac.digest(public, head + b"." + payload, "sha256"))
    assert await refusal(identity, b"Bearer " + b".".join([head, payload, signature])) == "token-algorithm"


async def test_a_changed_payload_is_refused(identity: Identity, provider: IdentityProvider) -> None:
    head, _, signature = bearer(provider).split(b".")
    payload = base64url_encode(json.dumps({"sub": str(uuid4())}).encode())
    assert await refusal(identity, b".".join([head, payload, signature])) == "token-signature"


async def test_a_symmetric_or_short_key_in_the_key_set_is_never_used(provider: IdentityProvider, clock: Clock) -> None:
    provider.add("short", rsa.generate_private_key(65537, 1024))
    published = json.loads(provider.path.read_text())
    published["keys"].append(
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"}
    )
    provider.path.write_text(json.dumps(published))
    keys = KeySet(str(provider.path), clock=clock)
    assert await keys.key("one") is not None
    assert await keys.key("short") is None
    assert await keys.key("shared") is None


async def test_the_services_token_is_for_the_service_alone(identity: Identity, provider: IdentityProvider) -> None:
    token = bearer(provider, aud=SERVICE, sub="provider")
    assert await identity.service(token) == "provider"
    with pytest.raises(Problem):
        await identity.service(bearer(provider))


async def test_a_new_key_is_found_at_once(identity: Identity, provider: IdentityProvider, clock: Clock) -> None:
    assert await identity.user(bearer(provider)) == USER
    clock.now += 11
    provider.add("two")
    assert await identity.user(bearer(provider, key_id="two")) == USER


async def test_made_up_key_ids_do_not_reach_the_provider_more_than_once_in_the_cooldown(
    provider: IdentityProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeySet(str(provider.path), clock=clock)
    reads = 0
    fetch = keys._fetch

    def counted() -> bytes:
        nonlocal reads
        reads += 1
        return fetch()

    monkeypatch.setattr(keys, "_fetch", counted)
    for number in range(50):
        assert await keys.key(f"made-up-{number}") is None
    assert reads == 1


async def test_a_key_that_was_withdrawn_is_refused_after_the_refresh(
    identity: Identity, provider: IdentityProvider, clock: Clock
) -> None:
    old = bearer(provider)
    assert await identity.user(old) == USER
    del provider.keys["one"]
    provider.add("two")
    clock.now += 601
    assert await refusal(identity, old) == "token-key"


async def test_the_last_good_keys_serve_while_the_provider_is_away_but_not_for_ever(
    identity: Identity, provider: IdentityProvider, clock: Clock
) -> None:
    assert await identity.user(bearer(provider)) == USER
    provider.path.unlink()
    clock.now += 3600
    assert await identity.user(bearer(provider)) == USER
    clock.now += 24 * 3600
    with pytest.raises(Problem) as caught:
        await identity.user(bearer(provider))
    assert caught.value.status == 503


async def test_many_who_wait_for_the_keys_read_them_once_and_one_who_leaves_stops_nobody(
    provider: IdentityProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = KeySet(str(provider.path), clock=clock)
    reads = 0
    fetch = keys._fetch

    def slow() -> bytes:
        nonlocal reads
        reads += 1
        time.sleep(0.2)
        return fetch()

    monkeypatch.setattr(keys, "_fetch", slow)
    waiting = [asyncio.create_task(keys.key("one")) for _ in range(20)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    found = await asyncio.gather(*waiting[1:])
    assert all(found)
    assert reads == 1


def test_plain_http_is_no_place_for_keys() -> None:
    with pytest.raises(ValueError, match="https"):
        KeySet("http://id.test/jwks.json")


async def test_refusals_are_counted_by_reason(provider: IdentityProvider, clock: Clock) -> None:
    reasons: list[str] = []
    identity = Identity(provider.config, KeySet(str(provider.path), clock=clock), reasons.append)
    await refusal(identity, bearer(provider, aud="x"))
    await refusal(identity, None)
    assert reasons == ["audience", "missing"]


@pytest.fixture
def https(tmp_path: Path) -> Iterator[Callable[[type[BaseHTTPRequestHandler]], str]]:
    """Starts https servers with a certificate for localhost, which is also the authority in `ca.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    servers: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return f"https://localhost:{server.server_port}/jwks.json"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_keys_come_over_https_from_a_server_that_is_verified(
    provider: IdentityProvider, tmp_path: Path, https: Callable[[type[BaseHTTPRequestHandler]], str]
) -> None:
    class Publishes(Quiet):
        def do_GET(self) -> None:
            self.answer(200, provider.path.read_bytes())

    url = https(Publishes)
    assert await KeySet(url, ca_file=str(tmp_path / "ca.pem")).key("one") is not None
    with pytest.raises(KeysUnavailable):
        await KeySet(url).key("one")


async def test_a_redirect_is_not_followed(
    provider: IdentityProvider, tmp_path: Path, https: Callable[[type[BaseHTTPRequestHandler]], str]
) -> None:
    class Publishes(Quiet):
        def do_GET(self) -> None:
            self.answer(200, provider.path.read_bytes())

    elsewhere = https(Publishes)

    class Redirects(Quiet):
        def do_GET(self) -> None:
            self.answer(302, b"", elsewhere)

    with pytest.raises(KeysUnavailable):
        await KeySet(https(Redirects), ca_file=str(tmp_path / "ca.pem")).key("one")


class Quiet(BaseHTTPRequestHandler):
    def answer(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


NO_KEYS: list[Any] = [
    None,
    7,
    [],
    {},
    {"kid": ["a"]},
    {"kid": {"a": 1}},
    {"kid": 7},
    {"kty": "RSA", "kid": "x", "n": 1, "e": "AQAB"},
    {"kty": "RSA", "kid": "x", "n": "A", "e": "AQAB"},
    {"kty": "RSA", "kid": "x", "n": "\u00e9!", "e": "AQAB"},
    {"kty": "RSA", "kid": "x", "n": None, "e": None},
    {"kty": "EC", "crv": "P-256", "kid": "x", "x": "AA", "y": "AA"},
    {"kty": "EC", "crv": "P-256", "kid": "x", "x": 5, "y": "AA"},
    {"kty": "EC", "crv": ["P-256"], "kid": "x", "x": "AA", "y": "AA"},
    {"kty": ["RSA"], "kid": "x"},
    {"kty": "OKP", "crv": "Ed25519", "kid": "x", "x": {}},
    {"kty": "oct", "k": "AAAA", "alg": "RS256", "kid": "x"},
    {"kty": "RSA", "alg": ["RS256"], "kid": "x", "n": "AQAB", "e": "AQAB"},
]


@pytest.mark.parametrize("entry", NO_KEYS, ids=repr)
@pytest.mark.parametrize("place", [0, 1])
async def test_an_entry_that_is_no_key_costs_itself_alone(
    identity: Identity, provider: IdentityProvider, entry: Any, place: int
) -> None:
    document = json.loads(provider.path.read_bytes())
    document["keys"].insert(place, entry)
    provider.path.write_text(json.dumps(document))
    assert await identity.user(bearer(provider)) is not None


@pytest.mark.parametrize(
    "said", [b"<html>", b"", b"[]", b'{"keys": null}', b'{"keys": []}', b'{"keys": [{"kid": []}]}']
)
async def test_a_document_without_a_key_leaves_the_copy_of_before(
    identity: Identity, provider: IdentityProvider, clock: Clock, said: bytes
) -> None:
    token = bearer(provider)
    await identity.user(token)
    provider.path.write_bytes(said)
    for clock.now in (301.0, 650.0, 4000.0):
        assert await identity.user(token) is not None
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("age", [301.0, 650.0, 4000.0])
async def test_a_provider_that_drips_holds_up_nobody_whose_key_is_known(
    provider: IdentityProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch, age: float
) -> None:
    keys = KeySet(str(provider.path), clock=clock)
    identity = Identity(provider.config, keys)
    token = bearer(provider)
    await identity.user(token)
    over = threading.Event()
    monkeypatch.setattr(keys, "_fetch", lambda: over.wait(5) and b"")
    clock.now = age
    began = time.monotonic()
    assert await asyncio.gather(*(identity.user(token) for _ in range(20)))
    assert time.monotonic() - began < 1.5
    over.set()


@pytest.mark.parametrize("part", ["body", "head", "nothing"])
async def test_a_dripping_answer_is_cut_as_a_whole(
    tmp_path: Path, https: Callable[[type[BaseHTTPRequestHandler]], str], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setattr(identity_module, "FETCH_TIMEOUT_SECONDS", 0.4)

    class Drips(Quiet):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                if part == "body":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                elif part == "head":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                for _ in range(100):
                    if part != "nothing":
                        self.wfile.write(b"x")
                    time.sleep(0.05)

    keys = KeySet(https(Drips), ca_file=str(tmp_path / "ca.pem"))
    began = time.monotonic()
    with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
        await asyncio.to_thread(keys._fetch)
    assert time.monotonic() - began < 2
