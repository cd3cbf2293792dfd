"""The OpenAPI document says what the routing table does."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from app.http import openapi
from app.http.request import Request
from app.http.response import Response
from app.http.routing import Access, Answer, Parameter, Route


class Wish(msgspec.Struct):
    """A wish."""

    name: str


async def handler(_: Request) -> Response:
    return Response(200)


@pytest.fixture
def document() -> dict[str, Any]:
    key = Parameter("key", "path", {"type": "string"}, "A key.")
    routes = [
        Route("GET", "/probe", handler, "probe", "", Access.PROBE, {200: Answer("Yes.")}),
        Route(
            "PUT",
            "/wishes/{key}",
            handler,
            "putWish",
            "Wish.",
            Access.SESSION,
            {200: Answer("Granted.", Wish, {"ETag": "Its version."})},
            body=Wish,
            parameters=(key,),
            problems=(412,),
        ),
        Route("GET", "/wishes/{key}", handler, "getWish", "", Access.SESSION, {200: Answer("It.", ("text/plain",))}),
    ]
    encoded: dict[str, Any] = json.loads(msgspec.json.encode(openapi.document(routes, "__Host-test")))
    return encoded


def test_every_route_is_an_operation_of_its_path(document: dict[str, Any]) -> None:
    assert {path: set(operations) for path, operations in document["paths"].items()} == {
        "/probe": {"get"},
        "/wishes/{key}": {"put", "get"},
    }


def test_bodies_are_references_to_the_types_schemas(document: dict[str, Any]) -> None:
    operation = document["paths"]["/wishes/{key}"]["put"]
    reference = {"$ref": "#/components/schemas/Wish"}
    assert operation["requestBody"]["content"]["application/json"]["schema"] == reference
    assert operation["responses"]["200"]["content"]["application/json"]["schema"] == reference
    assert document["components"]["schemas"]["Wish"]["required"] == ["name"]
    assert operation["responses"]["200"]["headers"].keys() == {"ETag"}


def test_a_parameter_of_the_path_is_always_required(document: dict[str, Any]) -> None:
    (parameter,) = document["paths"]["/wishes/{key}"]["put"]["parameters"]
    assert (parameter["in"], parameter["required"]) == ("path", True)


def test_every_error_is_a_problem_and_a_probe_has_none(document: dict[str, Any]) -> None:
    answers = document["paths"]["/wishes/{key}"]["put"]["responses"]
    assert {"400", "401", "412", "429", "431", "503", "504"} <= set(answers)
    for status, answer in answers.items():
        if status >= "400":
            assert answer["content"]["application/problem+json"]["schema"]["$ref"].endswith("/ProblemDetails")
    assert set(document["paths"]["/probe"]["get"]["responses"]) == {"200"}


def test_the_cookie_is_the_security_of_what_needs_a_session(document: dict[str, Any]) -> None:
    assert document["paths"]["/wishes/{key}"]["get"]["security"] == [{"session": []}]
    assert document["paths"]["/probe"]["get"]["security"] == []
    assert document["components"]["securitySchemes"]["session"]["name"] == "__Host-test"
