"""The OpenAPI 3.1 document, made from the routing table and the msgspec types: it cannot say what the app is not.

The app serves it at `/openapi.json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

import msgspec

from app.http.problem import ProblemDetails
from app.http.routing import Access, Answer, Parameter, Route

VERSION = "1.0.0"
REFERENCE = "#/components/schemas/{name}"

COOKIE_SECURITY = "session"
TOKEN_SECURITY = "token"
SERVICE_SECURITY = "service"

_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.OPEN: [],
    Access.PROBE: [],
    Access.TOKEN: [{TOKEN_SECURITY: []}],
    Access.SERVICE: [{SERVICE_SECURITY: []}],
    Access.SESSION: [{COOKIE_SECURITY: []}],
}
_EVERYWHERE = (400, 405, 414, 429, 431, 503, 504)
"""Problems that any route but a probe may answer with."""


def document(routes: Iterable[Route], cookie: str) -> dict[str, Any]:
    """The document of these routes; `cookie` is the session cookie's name."""
    routes = list(routes)
    types = [ProblemDetails]
    for route in routes:
        bodies = [route.body, *(answer.body for answer in route.answers.values())]
        types += [body for body in bodies if body is not None and not isinstance(body, tuple) and body not in types]
    _, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "HAL9",
            "version": VERSION,
            "description": "Each answer carries X-Request-Id; each error is a problem document (RFC "
            "9457) that names it.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                COOKIE_SECURITY: {"type": "apiKey", "in": "cookie", "name": cookie},
                TOKEN_SECURITY: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                SERVICE_SECURITY: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The identity provider's own token.",
                },
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "security": _SECURITY[route.access],
        "responses": {str(status): _answer(answer) for status, answer in sorted(route.answers.items())},
    }
    if route.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in route.parameters]
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body)}
    problems = set(route.problems)
    if route.access is not Access.PROBE:
        problems.update(_EVERYWHERE)
    if _SECURITY[route.access]:
        problems.add(401)
    for status in sorted(problems):
        operation["responses"].setdefault(
            str(status),
            {
                "description": HTTPStatus(status).phrase,
                "content": {"application/problem+json": {"schema": _schema(ProblemDetails)}},
            },
        )
    return operation


def _answer(answer: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.description}
    if answer.body is not None:
        described["content"] = _content(answer.body)
    if answer.headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    return described


def _content(body: Any) -> dict[str, Any]:
    """A msgspec type is JSON; a tuple names media types whose content the app does not look into."""
    if isinstance(body, tuple):
        return {media_type: {"schema": {}} for media_type in body}
    return {"application/json": {"schema": _schema(body)}}


def _schema(body: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([body], ref_template=REFERENCE)
    return schema


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required or parameter.where == "path",
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }
