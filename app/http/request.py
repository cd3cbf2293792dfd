"""One request: its head as the server gave it, its path's parameter, and its body within the limit."""

from __future__ import annotations

import random
import re
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope

from app.http.problem import Problem
from app.http.visit import Visit

T = TypeVar("T")

MAX_HEADER_BYTES = 16 * 1024
"""Values of all headers together (how many there are, the server bounds); a request
above it is refused with 431. It is half of what nginx passes on by default
(`large_client_header_buffers 4 8k`), and four of the longest cookies a browser keeps.
"""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_new_bits = random.Random().getrandbits


class Request:
    """What a handler sees of a request.

    `id` is the edge's `X-Request-Id` where it is well formed, else a new one. `parameter` is the path's last
    segment, percent-decoded, of a route that has one. `visit` is there on routes that need a session. Header names are
    lower case; a header that came twice is joined as RFC 9110 (5.3) and RFC 9113 (8.2.3, Cookie) say.
    """

    __slots__ = ("_max_body_bytes", "_receive", "headers", "method", "parameter", "raw_id", "scope", "visit")

    def __init__(self, scope: Scope, receive: Receive, max_body_bytes: int) -> None:
        pairs: list[tuple[bytes, bytes]] = scope["headers"]
        headers = dict(pairs)
        if len(headers) != len(pairs):
            headers = _joined(pairs)
        self.scope = scope
        self.method: str = scope.get("method", "GET")
        self.headers = headers
        self.parameter = ""
        self.visit: Visit
        given = headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            self.raw_id = given
        else:
            self.raw_id = b"%032x" % _new_bits(128)
        self._receive = receive
        self._max_body_bytes = max_body_bytes

    @property
    def id(self) -> str:
        """The request's id as text."""
        return self.raw_id.decode("ascii")

    def check_head(self) -> None:
        """Raises Problem 431 where the headers' values are too large together, 400 without a Host (RFC 9112, 3.2)."""
        if len(b"".join(self.headers.values())) > MAX_HEADER_BYTES:
            raise Problem(431, "headers-too-large", f"The headers have more than {MAX_HEADER_BYTES} bytes.")
        if not self.headers.get(b"host") and self.scope.get("http_version") == "1.1":
            raise Problem(400, "host", "A request names its Host.")

    def header(self, name: bytes) -> str | None:
        """A header as text, or None. Raises Problem 400 for bytes outside ASCII."""
        value = self.headers.get(name)
        if value is None:
            return None
        if not value.isascii():
            raise Problem(400, "header", f"The {name.decode()} header has characters outside ASCII.")
        return value.decode("ascii").strip()

    def cookie(self, name: bytes) -> bytes | None:
        """The first cookie of this name, or None."""
        cookies = self.headers.get(b"cookie")
        if cookies is None:
            return None
        for cookie in cookies.split(b";"):
            key, _, value = cookie.strip().partition(b"=")
            if key == name:
                return value
        return None

    def query(self) -> dict[str, str]:
        """The query's parameters. Raises Problem 400 for one that is repeated, or is no UTF-8, or has a NUL."""
        raw: bytes = self.scope["query_string"]
        if not raw:
            return {}
        try:
            pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32)
        except ValueError:
            raise Problem(400, "query", "The query string is not well formed.") from None
        parameters = dict(pairs)
        if len(parameters) != len(pairs):
            raise Problem(400, "query", "A query parameter is given twice.")
        return parameters

    async def body(self) -> bytes:
        """The whole body as it was sent.

        Raises Problem 413 above the limit, before it is read where its length is declared; 415 for a body that is coded
        (it would be kept, and given back, as what it is not), and 400 for a part of one (RFC 9110, 14.5).
        """
        coding = self.headers.get(b"content-encoding", b"identity").strip().lower()
        if coding not in (b"identity", b""):
            raise Problem(415, "content-encoding", "A body is taken as it is, without a Content-Encoding.")
        if b"content-range" in self.headers:
            raise Problem(400, "content-range", "A body is taken as a whole, without a Content-Range.")
        declared = self.headers.get(b"content-length")
        if declared is not None and declared.isdigit() and int(declared[:20]) > self._max_body_bytes:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Problem(400, "disconnected", "The connection ended before the body did.")
            part = message.get("body", b"")
            if part:
                parts.append(part)
                size += len(part)
                if size > self._max_body_bytes:
                    raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> Problem:
        return Problem(
            413,
            "body-too-large",
            f"The body has more than {self._max_body_bytes} bytes.",
            ((b"connection", b"close"),),  # what is left of the body will not be read
        )

    async def json(self) -> bytes:
        """The body of a request that says it sends JSON. Raises Problem 413, and 415 for another type."""
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise Problem(415, "media-type", "Content-Type must be application/json.")
        return await self.body()

    async def decode(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as the decoder's type. Raises Problem 400 for what is no JSON, 422 for another shape."""
        return decode(decoder, await self.json())


def decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """`raw` as the decoder's type. Raises Problem 400 for what is no JSON, 422 for another shape."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise Problem(422, "shape", f"The body is not what is expected: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(400, "json", f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise Problem(400, "json", "The body is nested too deep.") from None


def _joined(pairs: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        before = headers.get(name)
        if before is None:
            headers[name] = value
        else:
            headers[name] = before + (b"; " if name == b"cookie" else b", ") + value
    return headers
