from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.document import DocumentError, decode, load

ENDPOINT = {"host": "db", "port": 5432}


def shard(number: int, home: str, start: int, end: int, *replicas: str) -> dict[str, Any]:
    return {
        "id": number,
        "home": home,
        "primary": {"region": home, "endpoint": {"host": f"p{number}", "port": 5432}},
        "replicas": [{"region": r, "endpoint": {"host": f"{r}-{number}", "port": 5432}} for r in replicas],
        "keyRanges": [{"start": start, "end": end}],
    }


GOOD: dict[str, Any] = {
    "region": "us-west",
    "regions": [
        {"name": "us-west", "cache": ENDPOINT, "sessions": {"primary": ENDPOINT}},
        {
            "name": "eu-central",
            "cache": ENDPOINT,
            "sessions": {"primary": ENDPOINT, "replicas": [{"region": "us-west", "endpoint": ENDPOINT}]},
        },
    ],
    "sharding": {
        "shards": [shard(1, "us-west", 0, 499, "eu-central"), shard(2, "eu-central", 500, 999, "us-west")],
        "replicationFactor": 2,
    },
    "pools": {"primarySize": 4, "replicaSize": 4},
    "sessions": {"keyring": [{"id": "k1", "state": "active"}, {"id": "k0", "state": "decrypt"}]},
    "identity": {"issuer": "i", "audience": "a", "serviceAudience": "s", "jwks": "https://id/jwks"},
    "countries": {"US": "us-west"},
}


def changed(path: str, value: Any) -> bytes:
    document = copy.deepcopy(GOOD)
    *parents, last = path.split("/")
    place: Any = document
    for step in parents:
        place = place[int(step) if step.isdigit() else step]
    place[int(last) if last.isdigit() else last] = value
    return msgspec.json.encode(document)


def test_a_good_document_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    path.write_bytes(msgspec.json.encode(GOOD))
    assert load(path).regions[1].name == "eu-central"


def test_what_is_written_is_read_back_the_same() -> None:
    document = decode(msgspec.json.encode(GOOD))
    assert decode(document.encode()) == document


@pytest.mark.parametrize(
    ("path", "value", "where", "what"),
    [
        ("regions/0/cache/host", 5, "$.regions[0].cache.host", "Expected `str`, got `int`"),
        ("regoins", [], "$", "unknown field `regoins`"),
        ("region", "mars", "$.region", "mars is not one of us-west, eu-central"),
        ("regions/1/name", "us-west", "$.regions[1].name", "us-west is listed twice"),
        ("regions/1/sessions/replicas/0/region", "mars", "$.regions[1].sessions.replicas[0].region", "mars is not one"),
        ("regions/0/cache/port", 70000, "$.regions[0].cache.port", "70000 is no port"),
        ("sharding/shards/0/home", "mars", "$.sharding.shards[0].home", "mars is not one of"),
        (
            "sharding/shards/0/primary/region",
            "eu-central",
            "$.sharding.shards[0].primary.region",
            "not the shard's home",
        ),
        ("sharding/shards/0/replicas/0/region", "mars", "$.sharding.shards[0].replicas[0].region", "mars is not one"),
        ("sharding/shards/0/replicas/0/endpoint/host", "p1", "$.sharding.shards[0].replicas[0].endpoint", "another"),
        ("sharding/shards/0/keyRanges/0/end", 498, "$.sharding.shards", "slots 499 have no shard"),
        (
            "sharding/shards/1/keyRanges/0/start",
            499,
            "$.sharding.shards[1].keyRanges[0]",
            "overlaps shard 1 in slots 499",
        ),
        ("pools/primarySize", 0, "$.pools.primarySize", "0 must be above zero"),
        ("pools/primarySize", 101, "$.pools.primarySize", "101 is above maxConnections, 100"),
        ("sessions/keyring/1/state", "active", "$.sessions.keyring", "has 2 active keys"),
        ("sessions/keyring/0/state", "retired", "$.sessions.keyring", "has 0 active keys"),
        ("sessions/keyring/1/id", "k1", "$.sessions.keyring[1].id", "k1 is listed twice"),
        ("countries/US", "mars", "$.countries.US", "mars is not one of"),
        ("sessions/ttlSeconds", -1, "$.sessions.ttlSeconds", "-1 must be above zero"),
    ],
)
def test_a_mistake_is_refused_with_its_path(path: str, value: object, where: str, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        decode(changed(path, value))
    assert any(place == where and what in message for place, message in caught.value.mistakes), caught.value
    assert where in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    document = msgspec.json.decode(changed("region", "mars"))
    document["pools"]["replicaSize"] = 0
    with pytest.raises(DocumentError, match="has 2 mistakes"):
        decode(msgspec.json.encode(document))


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(DocumentError):
        decode(raw)


def test_a_missing_file_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="cannot be read: No such file"):
        load(tmp_path / "absent.json")
