"""Conditional requests (RFC 9110, 13): If-Match and If-None-Match as versions of an item; Idempotency-Key."""

from __future__ import annotations

import re

from app.http.problem import Problem
from app.http.request import Request
from app.http.routing import Parameter
from app.items import ABSENT, PRESENT, version_of

IF_MATCH = Parameter(
    "If-Match", "header", {"type": "string"}, "* or ETags: write only where the item exists, at one of these versions."
)
IF_NONE_MATCH = Parameter(
    "If-None-Match",
    "header",
    {"type": "string"},
    "Of a read, * or ETags: 304 where the item is at one of them. Of a write, *: only where there is no such item.",
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "pattern": "^[!-~]{1,128}$"},
    "Names this write: sent again with the same key within a day it is not done again.",
)

_TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
_TAGS = re.compile(rf"\s*{_TAG}\s*(?:,\s*{_TAG}\s*)*")
_ONE = re.compile(_TAG)
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


def expected_versions(request: Request) -> frozenset[int] | None:
    """The versions a write's item may be at, None for any.

    A weak tag matches nothing here, nor does one that is not ours. Raises Problem 400 for headers that are not
    well formed, or that ask for what a write cannot check.
    """
    match, none_match = request.header(b"if-match"), request.header(b"if-none-match")
    if none_match is not None:
        if match is not None or none_match != "*":
            raise Problem(400, "condition", "A write takes If-Match, or If-None-Match: *, and not both.")
        return frozenset({ABSENT})
    if match is None:
        return None
    if match == "*":
        return frozenset({PRESENT})
    versions = (version_of(tag) for tag in _tags("If-Match", match))
    return frozenset(version for version in versions if version is not None)


def not_modified(request: Request, etag: str) -> bool:
    """Whether the client of a read says that it has this version. Raises Problem 400."""
    none_match = request.header(b"if-none-match")
    if none_match is None:
        return False
    return none_match == "*" or etag in (tag.removeprefix("W/") for tag in _tags("If-None-Match", none_match))


def idempotency_key(request: Request) -> str | None:
    """The client's key for this write, None where it gave none. Raises Problem 400."""
    key = request.header(b"idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        raise Problem(400, "idempotency-key", "Idempotency-Key must be 1 to 128 visible ASCII characters.")
    return key


def _tags(name: str, value: str) -> list[str]:
    if not _TAGS.fullmatch(value):
        raise Problem(400, "condition", f'{name} must be * or a list of ETags in quotes, as in "1a2b".')
    return _ONE.findall(value)
