"""`/v1/me/items`: the user's items, with ETags, conditions and idempotency keys."""

from __future__ import annotations

import datetime
import functools
import re

import msgspec

from app.http.conditions import (
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_NONE_MATCH,
    expected_versions,
    idempotency_key,
    not_modified,
)
from app.http.problem import Problem
from app.http.request import Request, decode
from app.http.response import Response, empty, json
from app.http.routing import Access, Answer, Parameter, Route
from app.items import MAX_KEY_BYTES, ItemSummary, etag
from app.user_data import UserData

DEFAULT_PAGE = 100
MAX_PAGE = 1000

_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,64}/[\w!#$&^.+-]{1,64}(?:\s*;\s*[\w-]+=[\w.+-]+){0,4}", re.ASCII)
_anything = msgspec.json.Decoder()

# An item may be of any type, and a browser must not run it as if it were ours.
_SANDBOX = (b"content-security-policy", b"default-src 'none'; sandbox")

_KEY = Parameter(
    "key",
    "path",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY_BYTES, "pattern": r"^[^\u0000-\u001f\u007f-\u009f]+$"},
    f"Percent-encoded UTF-8, at most {MAX_KEY_BYTES} bytes, no control characters.",
)
_MEDIA = ("application/json", "text/plain", "application/octet-stream")
"""Examples for the document; an item may be of any media type."""
_ETAG = {"ETag": "The item's version, for If-Match and If-None-Match."}


class WrittenItem(msgspec.Struct):
    """What a write made of the item: `etag` names the version that it now is at."""

    key: str
    etag: str


class ListedItem(msgspec.Struct, rename="camel"):
    """An item of a page: everything but the value, whose `size` is in bytes."""

    key: str
    etag: str
    size: int
    content_type: str
    updated_at: datetime.datetime


class ItemPage(msgspec.Struct):
    """Items in the order of their keys by code point. `after`, where there is one, asks for the next page."""

    items: list[ListedItem]
    after: str | None = None


class ItemRoutes:
    """Items over HTTP. Every handler runs with `request.visit` of the signed-in user."""

    def __init__(self, data: UserData) -> None:
        self._data = data

    def routes(self) -> list[Route]:
        """For the routing table."""
        one, many = "/v1/me/items/{key}", "/v1/me/items"
        written = {"Idempotent-Replayed": "true where this is the answer of an earlier attempt.", **_ETAG}
        return [
            Route(
                "GET",
                one,
                self.get,
                "getItem",
                "Read an item.",
                Access.SESSION,
                {
                    200: Answer("The item's value.", _MEDIA, _ETAG),
                    304: Answer("The client has this version.", None, _ETAG),
                },
                parameters=(_KEY, IF_NONE_MATCH),
                problems=(404,),
            ),
            Route(
                "PUT",
                one,
                self.put,
                "putItem",
                "Write an item.",
                Access.SESSION,
                {
                    200: Answer("It was replaced.", WrittenItem, written),
                    201: Answer("It is new.", WrittenItem, written),
                },
                body=_MEDIA,
                parameters=(_KEY, IF_MATCH, IF_NONE_MATCH, IDEMPOTENCY_KEY),
                problems=(403, 412, 413, 415, 422),
            ),
            Route(
                "DELETE",
                one,
                self.delete,
                "deleteItem",
                "Delete an item.",
                Access.SESSION,
                {204: Answer("It is gone.")},
                parameters=(_KEY, IF_MATCH, IDEMPOTENCY_KEY),
                problems=(404, 412, 422),
            ),
            Route(
                "GET",
                many,
                self.list,
                "listItems",
                "List items by key.",
                Access.SESSION,
                {200: Answer("A page.", ItemPage)},
                parameters=(
                    Parameter(
                        "limit", "query", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}, "Items a page."
                    ),
                    Parameter("after", "query", {"type": "string"}, "Continue after this key."),
                    Parameter("prefix", "query", {"type": "string"}, "Only keys that begin so."),
                ),
            ),
        ]

    async def get(self, request: Request) -> Response:
        """The value as it was written, with its type."""
        visit = request.visit
        item = await self._data.get(visit.user_id, request.parameter, visit.last)
        if item is None:
            raise Problem(404, "no-such-item", "There is no item with this key.")
        if b"if-none-match" in request.headers and not_modified(request, item.etag):
            return empty(304, (b"etag", item.etag.encode()))
        return Response(200, item.value, _headers(item.content_type, item.version))

    async def put(self, request: Request) -> Response:
        """Answered once it is committed and no cache of this region has the old value."""
        content_type = _content_type(request)
        expected, key = expected_versions(request), idempotency_key(request)
        value = await request.body()
        if content_type.partition(";")[0].strip().lower() == "application/json":
            decode(_anything, value)
        visit = request.visit
        written, footprint = await self._data.put(visit.user_id, request.parameter, value, content_type, expected, key)
        await visit.wrote(footprint)
        tag = etag(written.version)
        return json(
            201 if written.created else 200,
            WrittenItem(request.parameter, tag),
            (b"etag", tag.encode()),
            *_replayed(written.replayed),
        )

    async def delete(self, request: Request) -> Response:
        """As `put`; 404 where there was nothing to delete."""
        expected, key = expected_versions(request), idempotency_key(request)
        visit = request.visit
        deleted, footprint = await self._data.delete(visit.user_id, request.parameter, expected, key)
        await visit.wrote(footprint)
        if not deleted.deleted:
            raise Problem(404, "no-such-item", "There is no item with this key.")
        return empty(204, *_replayed(deleted.replayed))

    async def list(self, request: Request) -> Response:
        """A page by key."""
        query = request.query()
        unknown = query.keys() - {"limit", "after", "prefix"}
        if unknown:
            raise Problem(400, "query", "The query takes limit, after and prefix.")
        visit = request.visit
        page = await self._data.list(
            visit.user_id, query.get("after", ""), _limit(query.get("limit")), query.get("prefix", ""), visit.last
        )
        return json(200, ItemPage([_listed(item) for item in page.items], page.after))


@functools.lru_cache(4096)
def _headers(content_type: str, version: int) -> tuple[tuple[bytes, bytes], ...]:
    """An item's headers, kept for those that are read again and again."""
    return ((b"content-type", content_type.encode()), (b"etag", etag(version).encode()), _SANDBOX)


def _listed(item: ItemSummary) -> ListedItem:
    return ListedItem(item.key, item.etag, item.size, item.content_type, item.updated_at)


def _content_type(request: Request) -> str:
    given = request.header(b"content-type")
    if given is None or not _MEDIA_TYPE.fullmatch(given):
        raise Problem(415, "media-type", "Content-Type must name the value's media type, as in application/json.")
    return given


def _limit(given: str | None) -> int:
    if given is None:
        return DEFAULT_PAGE
    if not (given.isascii() and given.isdigit() and len(given) <= 4 and 1 <= int(given) <= MAX_PAGE):
        raise Problem(400, "query", f"limit must be a number from 1 to {MAX_PAGE}.")
    return int(given)


def _replayed(replayed: bool) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"idempotent-replayed", b"true"),) if replayed else ()
