"""Reading the deployment document, and checking what types cannot.

A process reads it once: a changed document is another version of the Deployment's pods, which roll to it by its hash
(docs/decisions/0008-document.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.databases import sharding
from app.deployment import DatabaseConnection, Deployment, Document, Endpoint


class DocumentError(ValueError):
    """A document that cannot be used: where it is from, and each mistake with its path (`$.regions[0].name`)."""

    def __init__(self, source: str, mistakes: list[tuple[str, str]]) -> None:
        self.mistakes = mistakes
        lines = "".join(f"\n  {path}   {message}" for path, message in mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__(f"{source} has {count}:{lines}")


def decode(raw: bytes, source: str = "the document") -> Deployment:
    """The document in `raw` (JSON), its shape and its meaning checked.

    Raises: DocumentError. A wrong shape stops at the first mistake, as nothing after it can be judged.
    """
    try:
        deployment = msgspec.json.decode(raw, type=Deployment)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        raise DocumentError(source, [(path.strip("`") or "$", message)]) from None
    except msgspec.DecodeError as error:
        raise DocumentError(source, [("$", f"is no JSON: {error}")]) from None
    wrong = list(_mistakes(deployment))
    if wrong:
        raise DocumentError(source, wrong)
    return deployment


def load(path: str | Path) -> Deployment:
    """The document in the file `path`.

    Raises: DocumentError, also when the file cannot be read.
    """
    return decode(_read(path), str(path))


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DocumentError(str(path), [("$", f"cannot be read: {error.strerror}")]) from None


def _mistakes(document: Deployment) -> Iterator[tuple[str, str]]:
    names = [region.name for region in document.regions]
    known = f"one of {', '.join(names)}" if names else "listed: regions is empty"
    for index, name in enumerate(names):
        if name in names[:index]:
            yield f"$.regions[{index}].name", f"{name} is listed twice"
    for path, name in _region_references(document):
        if name not in names:
            yield path, f"{name} is not {known}"
    yield from ((f"$.sharding{mistake.path}", mistake.message) for mistake in sharding.mistakes(document.sharding))
    yield from _instances(document)
    yield from _keyring(document)
    for name in ("primary_size", "replica_size"):
        size = getattr(document.pools, name)
        if size > document.pools.max_connections:
            yield f"$.pools.{_camel(name)}", f"{size} is above maxConnections, {document.pools.max_connections}"
    yield from _numbers(document, "$")


def _instances(document: Deployment) -> Iterator[tuple[str, str]]:
    for index, shard in enumerate(document.sharding.shards):
        if shard.primary.region != shard.home:
            yield (
                f"$.sharding.shards[{index}].primary.region",
                f"{shard.primary.region} is not the shard's home, {shard.home}",
            )
        addresses: list[DatabaseConnection] = [shard.primary, *shard.replicas]
        for number, replica in enumerate(shard.replicas):
            if any(replica.endpoint == other.endpoint for other in addresses[: number + 1]):
                yield f"$.sharding.shards[{index}].replicas[{number}].endpoint", "is another instance's of this shard"


def _keyring(document: Deployment) -> Iterator[tuple[str, str]]:
    keys = [key.id for key in document.sessions.keyring]
    active = [key.id for key in document.sessions.keyring if key.state == "active"]
    if len(active) != 1:
        yield "$.sessions.keyring", f"has {len(active)} active keys; exactly one encrypts"
    for index, key in enumerate(keys):
        if key in keys[:index]:
            yield f"$.sessions.keyring[{index}].id", f"{key} is listed twice"


def _region_references(document: Deployment) -> Iterator[tuple[str, str]]:
    """Every place that names a region."""
    yield "$.region", document.region
    for index, region in enumerate(document.regions):
        for number, copy in enumerate(region.sessions.replicas):
            yield f"$.regions[{index}].sessions.replicas[{number}].region", copy.region
    for index, shard in enumerate(document.sharding.shards):
        yield f"$.sharding.shards[{index}].home", shard.home
        for number, replica in enumerate(shard.replicas):
            yield f"$.sharding.shards[{index}].replicas[{number}].region", replica.region
    for country, name in document.countries.items():
        yield f"$.countries.{country}", name


MAY_BE_ZERO = frozenset({"drain_delay_seconds", "drain_timeout_seconds", "stale_seconds", "id", "start", "end"})
"""Numbers for which 0 means something; every other number of the document is above it."""


def _numbers(part: object, path: str) -> Iterator[tuple[str, str]]:
    """Ports out of range, and sizes, rates and times that are not above zero, anywhere in the document."""
    if isinstance(part, tuple):
        for index, element in enumerate(part):
            yield from _numbers(element, f"{path}[{index}]")
    if not isinstance(part, Document):
        return
    for name in part.__struct_fields__:
        value, below = getattr(part, name), f"{path}.{_camel(name)}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield from _numbers(value, below)
        elif name in ("port", "metrics_port"):
            # The server's own 0 means a port of the kernel's choice; an endpoint's would mean nothing.
            if not (1 if isinstance(part, Endpoint) else 0) <= value < 65536:
                yield below, f"{value} is no port"
        elif value < 0 or (value == 0 and name not in MAY_BE_ZERO):
            yield below, f"{value} must be above zero"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
