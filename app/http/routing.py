"""The routing table: which handler answers a method and a path, and what the OpenAPI document says of it.

Paths are few and flat, so a route is found in one or two dictionary look-ups (0.2 us) where a list of patterns
takes longer with each route. A template may end in one parameter (`/v1/me/items/{key}`).
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from app.http.problem import Problem
from app.http.request import Request
from app.http.response import Response

Handler = Callable[[Request], Awaitable[Response]]

MAX_PATH_BYTES = 2048


class Access(enum.Enum):
    """What a request must show."""

    OPEN = "open"
    PROBE = "probe"
    """Kubernetes' probes: open, and neither shed nor limited."""
    TOKEN = "token"
    SERVICE = "service"
    SESSION = "session"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a path, query or header for the OpenAPI document; `schema` is JSON Schema."""

    name: str
    where: str
    schema: Mapping[str, Any]
    description: str
    required: bool = False


@dataclass(frozen=True)
class Answer:
    """A status a route may answer with, besides the problems every route has: its body's type and headers."""

    description: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One operation. `name` is its operationId; `body` the type of the request's JSON body, None without one."""

    method: str
    template: str
    handler: Handler
    name: str
    summary: str
    access: Access
    answers: Mapping[int, Answer]
    body: Any = None
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()


class Router:
    """Finds the route of a method and a raw path."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes
        self._exact: dict[bytes, dict[str, Route]] = {}
        self._prefix: dict[bytes, dict[str, Route]] = {}
        for route in routes:
            head, brace, _ = route.template.partition("{")
            table = self._prefix if brace else self._exact
            methods = table.setdefault(head.encode(), {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.template} is routed twice")
            methods[route.method] = route

    def find(self, request: Request) -> Route:
        """The route, with `request.parameter` set. Raises Problem 404, 405 with Allow, 414, or 400 for a bad path."""
        path: bytes = request.scope["raw_path"]
        methods = self._exact.get(path)
        parameter = b""
        if methods is None:
            if len(path) > MAX_PATH_BYTES:
                raise Problem(414, "path-too-long", f"The path has more than {MAX_PATH_BYTES} bytes.")
            cut = path.rfind(b"/") + 1
            parameter = path[cut:]
            methods = self._prefix.get(path[:cut]) if parameter else None
            if methods is None:
                raise Problem(404, "no-such-path", "There is nothing at this path.")
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            allow = ", ".join(sorted(methods | {"HEAD": None} if "GET" in methods else methods))
            raise Problem(405, "method", f"This path takes {allow}.", ((b"allow", allow.encode()),))
        if parameter:
            try:
                request.parameter = (unquote_to_bytes(parameter) if b"%" in parameter else parameter).decode()
            except UnicodeDecodeError:
                raise Problem(400, "path", "The path is not UTF-8.") from None
        return route
