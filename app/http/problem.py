"""Errors as problem details (RFC 9457): one exception that any part of a request may raise.

`type` is a URN whose last part is stable, so that a client can tell two problems of one status apart.
"""

from __future__ import annotations

from http import HTTPStatus

import msgspec

URN = "urn:hal9:problem:"


class ProblemDetails(msgspec.Struct, frozen=True, rename={"request_id": "requestId"}):
    """The body of every answer of 400 and above, `application/problem+json`."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str


class Problem(Exception):
    """An answer that is not the one the client wanted.

    `kind` ends the URN (`body-too-large`), `detail` is one sentence for the person who reads it: what is wrong
    and what would be right, never a secret or an internal name. `headers` are sent along (`Retry-After`, `Allow`).
    """

    def __init__(self, status: int, kind: str, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(status, kind, detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = headers

    def body(self, request_id: str) -> bytes:
        """The problem as JSON."""
        details = ProblemDetails(
            type=URN + self.kind,
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            request_id=request_id,
        )
        return msgspec.json.encode(details)


def retry_after(seconds: float) -> tuple[bytes, bytes]:
    """A `Retry-After` header of whole seconds, at least one."""
    return (b"retry-after", b"%d" % max(1, -int(-seconds // 1)))


def unavailable(kind: str, detail: str, seconds: float = 1) -> Problem:
    """503: something this request needs is away; asking again after `seconds` may work."""
    return Problem(503, kind, detail, (retry_after(seconds),))
