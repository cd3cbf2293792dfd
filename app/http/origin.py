"""Whose page a WebSocket is asked for: a browser says so in Origin, and sends the user's cookies whoever asks.

SameSite keeps other sites' pages out, not those of a sibling subdomain; so the page must be of the very host that was
asked. Who is no browser sends no Origin, and has no cookies that are not its own.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from app.http.problem import Problem
from app.http.request import Request


def check_origin(request: Request) -> None:
    """Raises Problem 403 where another host's page asks. The host is the edge's word (X-Forwarded-Host), else Host."""
    origin = request.headers.get(b"origin")
    if origin is None:
        return
    asked = request.headers.get(b"x-forwarded-host") or request.headers.get(b"host", b"")
    page = _host(origin.decode("latin-1"))
    if page is None or page != _host("//" + asked.decode("latin-1")):
        raise Problem(403, "origin", "A page of another host cannot connect here.")


def _host(url: str) -> str | None:
    """The URL's host in lower case, None where it has none. Ports make no difference: cookies know none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
