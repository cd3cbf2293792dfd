"""A user's items: small values under keys, on the user's shard, each with a version that ETags carry."""

from __future__ import annotations

import datetime
import hashlib
import unicodedata
import uuid
from collections.abc import Collection
from typing import Final
from uuid import UUID

import asyncpg
import msgspec

from app.databases.databases import Call, Databases
from app.databases.floor import Floor
from app.databases.pools import DatabaseError
from app.deployment import LimitConfig

ABSENT: Final = 0
"""In place of a version: the item must not exist (If-None-Match: *)."""
PRESENT: Final = -1
"""In place of a version: the item must exist, at any version (If-Match: *)."""

MAX_KEY_BYTES = 512
MAX_PAGE = 1000
NO_SUCH_USER, PRECONDITION_FAILED, QUOTA_REACHED = "U9003", "U9004", "U9008"
"""SQLSTATEs of migrations/0002_writes.sql and 0005_quota.sql."""

GET = """
SELECT s.state, i.key, i.value, i.content_type, i.version, i.updated_at
FROM slots s LEFT JOIN items i ON i.slot = s.slot AND i.user_id = $2 AND i.key = $3
WHERE s.slot = $1"""

LIST = """
SELECT s.state, i.key, i.size, i.content_type, i.version, i.updated_at
FROM slots s LEFT JOIN LATERAL (
    SELECT key, octet_length(value) AS size, content_type, version, updated_at FROM items
    WHERE slot = s.slot AND user_id = $2 AND key > $3 AND starts_with(key, $4)
    ORDER BY key LIMIT $5
) i ON true
WHERE s.slot = $1"""


class InvalidKey(ValueError):
    """A key that is empty, longer than 512 bytes of UTF-8, has a
    control character or a lone surrogate, or is `.` or `..`.
    """


class NoSuchUser(DatabaseError):
    """The user is not registered."""


class PreconditionFailed(DatabaseError):
    """The item is not at any of the expected versions. Nothing was changed."""


class QuotaReached(DatabaseError):
    """The user has as many items as they may, and this would be one more."""


class Item(msgspec.Struct, frozen=True, rename="camel"):
    """An item. `version` grows with every write, by the clock (microseconds), never reused for the key."""

    key: str
    value: bytes
    content_type: str
    version: int
    updated_at: datetime.datetime

    @property
    def etag(self) -> str:
        """The strong ETag of this version."""
        return etag(self.version)


class ItemSummary(msgspec.Struct, frozen=True, rename="camel"):
    """An item without its value, whose `size` is in bytes: a page of values could be hundreds of megabytes."""

    key: str
    size: int
    content_type: str
    version: int
    updated_at: datetime.datetime

    @property
    def etag(self) -> str:
        """The strong ETag of this version."""
        return etag(self.version)


class Page(msgspec.Struct, frozen=True):
    """Some items in the order of their keys (by code point); `after` continues the listing, None ends it."""

    items: tuple[ItemSummary, ...]
    after: str | None


class Written(msgspec.Struct, frozen=True):
    """A put's outcome: the new version, whether the key was new, whether this replays an earlier answer; the floor."""

    version: int
    created: bool
    replayed: bool
    floor: Floor


class Deleted(msgspec.Struct, frozen=True):
    """A delete's outcome: whether there was an item, whether this replays an earlier answer; the floor."""

    deleted: bool
    replayed: bool
    floor: Floor


class _PutResult(msgspec.Struct):
    version: int
    created: bool


class _DeleteResult(msgspec.Struct):
    deleted: bool


def etag(version: int) -> str:
    """The strong ETag of a version: `"1a2b"`."""
    return f'"{version:x}"'


def version_of(tag: str) -> int | None:
    """The version a strong ETag names; None for one that is not ours, and so matches nothing."""
    try:
        version = int(tag.strip('"'), 16)
    except ValueError:
        return None
    return version if etag(version) == tag and 0 < version < 2**63 else None


def check_key(key: str) -> str:
    """`key`, when it can be one. Raises InvalidKey with the reason."""
    if key in (".", ".."):
        raise InvalidKey("the key is a step in a path, which clients take before they ask")
    if 0 < len(key) <= MAX_KEY_BYTES // 4 and key.isprintable():
        return key  # neither too long in any encoding, nor with anything that does not print
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidKey("the key is not valid UTF-8") from None
    if not 0 < size <= MAX_KEY_BYTES:
        raise InvalidKey(f"the key has {size} bytes; it may have 1 to {MAX_KEY_BYTES}")
    if any(unicodedata.category(character) == "Cc" for character in key):
        raise InvalidKey("the key has a control character")
    return key


class ItemRepository:
    """Reads and writes of `items`. `timeout` in seconds bounds a call; `floor` is the user's, from the session.

    A user may have `most` items.
    All raise what Databases raises: DatabaseUnavailable and its kinds (503), WrongEpoch (503).
    """

    def __init__(self, databases: Databases, most: int = LimitConfig().items_per_user) -> None:
        self._databases = databases
        self._most = most

    async def get(
        self, user_id: UUID, key: str, floor: Floor | None = None, timeout: float | None = None
    ) -> Item | None:
        """The item, or None. Raises InvalidKey."""
        rows = await self._databases.reads.fetch_owned(
            user_id, GET, user_id, check_key(key), floor=floor, timeout=timeout
        )
        return _item(rows[0])

    async def list(
        self,
        user_id: UUID,
        after: str = "",
        limit: int = 100,
        prefix: str = "",
        floor: Floor | None = None,
        timeout: float | None = None,
    ) -> Page:
        """Up to `limit` (at most 1000) items whose key begins with `prefix`, from the first key past `after`.

        Raises: InvalidKey for an `after` or `prefix` that no key can have.
        """
        for text in (after, prefix):
            if text:
                check_key(text)
        limit = min(max(limit, 1), MAX_PAGE)
        rows = await self._databases.reads.fetch_owned(
            user_id, LIST, user_id, after, prefix, limit + 1, floor=floor, timeout=timeout
        )
        items = [
            ItemSummary(row["key"], row["size"], row["content_type"], row["version"], row["updated_at"])
            for row in rows
            if row["key"] is not None
        ]
        more = len(items) > limit
        return Page(tuple(items[:limit]), items[limit - 1].key if more else None)

    async def put(
        self,
        user_id: UUID,
        key: str,
        value: bytes,
        content_type: str = "application/json",
        expected: Collection[int] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Written:
        """Write the item, once however often its commit has to be retried, in one round trip.

        `expected` are the versions it may be at, with ABSENT and PRESENT; None is any. The same
        `idempotency_key` with the same request within a day returns the first answer.
        Raises: InvalidKey, PreconditionFailed, NoSuchUser, KeyReused, QuotaReached.
        """
        versions = None if expected is None else sorted(expected)
        call = await self._call(
            user_id,
            "CALL put_item_within($1, $2, $3, $4, $5, $6, $7::text::bigint[], $8, $9, $10, NULL, NULL, NULL)",
            check_key(key),
            value,
            content_type,
            _array(versions),
            idempotency_key or uuid.uuid4().hex,
            _digest("put", key, value, content_type, versions),
            self._most,
            timeout=timeout,
        )
        result = msgspec.json.decode(call.row["outcome"], type=_PutResult)
        return Written(result.version, result.created, call.row["replayed"], call.floor)

    async def delete(
        self,
        user_id: UUID,
        key: str,
        expected: Collection[int] | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Deleted:
        """Delete the item, if there is one. Otherwise as `put`."""
        versions = None if expected is None else sorted(expected)
        call = await self._call(
            user_id,
            "CALL delete_item($1, $2, $3, $4, $5::text::bigint[], $6, $7, NULL, NULL, NULL)",
            check_key(key),
            _array(versions),
            idempotency_key or uuid.uuid4().hex,
            _digest("delete", key, versions),
            timeout=timeout,
        )
        result = msgspec.json.decode(call.row["outcome"], type=_DeleteResult)
        return Deleted(result.deleted, call.row["replayed"], call.floor)

    async def _call(self, user_id: UUID, query: str, *arguments: object, timeout: float | None) -> Call:
        try:
            return await self._databases.writes.call(user_id, query, user_id, *arguments, timeout=timeout)
        except asyncpg.PostgresError as error:
            if error.sqlstate == NO_SUCH_USER:
                raise NoSuchUser(str(error)) from None
            if error.sqlstate == PRECONDITION_FAILED:
                raise PreconditionFailed(str(error)) from None
            if error.sqlstate == QUOTA_REACHED:
                raise QuotaReached(str(error)) from None
            raise


def _array(versions: list[int] | None) -> str | None:
    """Versions as Postgres writes an array. As text, because asyncpg asks the server what an array type is, on every
    new connection and in five round trips: a second to a primary that was promoted on the other side of the world."""
    return None if versions is None else f"{{{','.join(map(str, versions))}}}"


def _item(row: asyncpg.Record) -> Item | None:
    if row["key"] is None:
        return None
    return Item(row["key"], row["value"], row["content_type"], row["version"], row["updated_at"])


def _digest(*request: object) -> bytes:
    """What an idempotency key stands for, so that it is not taken for another request."""
    return hashlib.sha256(msgspec.msgpack.encode(request)).digest()
