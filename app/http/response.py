"""One answer: a status, headers, and a body that is there in full."""

from __future__ import annotations

from typing import Any

import msgspec

Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
PROBLEM: Header = (b"content-type", b"application/problem+json")
PRIVATE: Header = (b"cache-control", b"private, no-store")
"""On every answer that belongs to one user: neither the edge nor a browser may keep it."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Response:
    """What a handler returns. The application adds the request id, the length and the private cache rule."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, body: bytes = b"", headers: tuple[Header, ...] = (JSON,)) -> None:
        self.status = status
        self.body = body
        self.headers = headers


def json(status: int, value: Any, *headers: Header) -> Response:
    """An answer with `value` (a msgspec type) as JSON."""
    return Response(status, _encode(value), (JSON, *headers))


def empty(status: int, *headers: Header) -> Response:
    """An answer without a body (204, 304)."""
    return Response(status, b"", headers)
