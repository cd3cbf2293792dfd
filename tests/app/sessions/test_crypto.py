from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest

from app.sessions.crypto import KEY_BYTES, KeyringError, SessionKeyring, SessionRefused
from tests.app.fixtures_sessions import bare_document

ID = "A" * 43
OTHER_ID = "B" + "A" * 42
MATERIAL = bytes(range(KEY_BYTES))

GOLDEN = bytes.fromhex(
    "01026b31000102030405060708090a0bd276a364f35060b29f7ad3cf6dd2ebc368f77bfe125eb90543c052895223a973f2"
)
"""`SessionKeyring({"k1": ("active", bytes(range(32)))})` with the nonce bytes(range(12)).

Computed apart from the module, from RFC 5869 by hmac and AES-GCM by the low-level Cipher: key = HMAC(HMAC(zeros, key),
"hal9 session AA" 01), AAD = header "7|7|us-west|" id.
"""


def keyring(**states: str) -> SessionKeyring:
    return SessionKeyring({key: (state, MATERIAL[:-1] + key[-1:].encode()) for key, state in states.items()})


def refusal(ring: SessionKeyring, envelope: bytes, version: int = 7, region: str = "us-west", id: str = ID) -> str:
    with pytest.raises(SessionRefused) as caught:
        ring.open(envelope, version, region, id)
    return caught.value.reason


def test_what_was_sealed_opens_in_its_place() -> None:
    ring = keyring(k1="active")
    assert ring.open(ring.seal(b"payload", 7, "us-west", ID), 7, "us-west", ID) == b"payload"


def test_the_format_is_the_golden_vector_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.urandom", lambda size: bytes(range(size)))
    ring = SessionKeyring({"k1": ("active", MATERIAL)})
    assert ring.seal(b"a session payload", 7, "us-west", ID).hex() == GOLDEN.hex()
    assert ring.open(GOLDEN, 7, "us-west", ID) == b"a session payload"


def test_the_same_session_never_gives_the_same_bytes() -> None:
    ring = keyring(k1="active")
    assert len({ring.seal(b"payload", 7, "us-west", ID) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "place",
    [
        pytest.param({"version": 8}, id="version"),
        pytest.param({"region": "eu-central"}, id="region"),
        pytest.param({"id": OTHER_ID}, id="session in another bucket"),
        pytest.param({"id": "A" * 42 + "B"}, id="session of the same bucket"),
    ],
)
def test_an_envelope_opens_nowhere_else(place: dict[str, str]) -> None:
    ring = keyring(k1="active")
    assert refusal(ring, ring.seal(b"payload", 7, "us-west", ID), **place) == "forged"  # type: ignore[arg-type]


def test_an_envelope_does_not_open_under_another_key_s_name() -> None:
    same = {"k1": ("active", MATERIAL), "k2": ("decrypt", MATERIAL)}
    ring = SessionKeyring(same)  # type: ignore[arg-type]
    envelope = ring.seal(b"payload", 7, "us-west", ID)
    assert refusal(ring, envelope.replace(b"k1", b"k2", 1)) == "forged"


def test_every_altered_byte_is_refused() -> None:
    ring = keyring(k1="active")
    envelope = ring.seal(b"payload", 7, "us-west", ID)
    for at in range(len(envelope)):
        altered = envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]
        assert refusal(ring, altered) in {"forged", "malformed", "unknown-key"}


def test_every_shorter_envelope_is_refused() -> None:
    ring = keyring(k1="active")
    envelope = ring.seal(b"payload", 7, "us-west", ID)
    for length in range(len(envelope)):
        assert refusal(ring, envelope[:length]) in {"forged", "malformed", "unknown-key"}


def test_a_decrypt_key_opens_and_the_active_one_seals() -> None:
    old = keyring(k1="active").seal(b"payload", 7, "us-west", ID)
    ring = keyring(k1="decrypt", k2="active")
    assert ring.open(old, 7, "us-west", ID) == b"payload"
    assert ring.seal(b"payload", 7, "us-west", ID)[2:4] == b"k2"


def test_a_retired_key_and_an_unknown_one_are_told_apart() -> None:
    old = keyring(k1="active").seal(b"payload", 7, "us-west", ID)
    assert refusal(keyring(k1="retired", k2="active"), old) == "retired-key"
    assert refusal(keyring(k2="active"), old) == "unknown-key"


@pytest.mark.parametrize("states", [{"k1": "decrypt"}, {"k1": "active", "k2": "active"}])
def test_exactly_one_key_is_active(states: dict[str, str]) -> None:
    with pytest.raises(KeyringError, match="exactly one"):
        keyring(**states)


@pytest.mark.parametrize("content", ["not base64!", base64.b64encode(bytes(range(31))).decode(), None])
def test_a_bad_key_file_is_named_and_its_content_is_not(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "session-key-k1").write_text(content)
    with pytest.raises(KeyringError, match="k1") as caught:
        SessionKeyring.load(bare_document(tmp_path))
    assert content is None or content not in str(caught.value)


def test_a_keyring_s_text_shows_no_key(tmp_path: Path) -> None:
    material = secrets.token_bytes(KEY_BYTES)
    (tmp_path / "session-key-k1").write_text(base64.b64encode(material).decode())
    loaded = SessionKeyring.load(bare_document(tmp_path))
    assert base64.b64encode(material).decode() not in repr(loaded)
    assert repr(material) not in repr(loaded)
