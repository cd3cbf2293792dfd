"""Conditional headers: what they ask for, and what is refused."""

from __future__ import annotations

import pytest

from app.http.conditions import expected_versions, idempotency_key, not_modified
from app.http.problem import Problem
from app.http.request import Request
from app.items import ABSENT, PRESENT, etag


def request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def receive() -> dict[str, object]:
        raise AssertionError("the body is not read")

    return Request({"type": "http", "method": "PUT", "headers": pairs, "query_string": b""}, receive, 100)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"if_match": "*"}, {PRESENT}),
        ({"if_none_match": "*"}, {ABSENT}),
        ({"if_match": etag(7)}, {7}),
        ({"if_match": f"{etag(7)}, {etag(8)} ,{etag(9)}"}, {7, 8, 9}),
        ({"if_match": f"W/{etag(7)}"}, set()),
        ({"if_match": '"not-ours"'}, set()),
        ({"if_match": f'"a,b", {etag(3)}'}, {3}),
    ],
)
def test_a_write_is_for_these_versions(headers: dict[str, str], expected: set[int] | None) -> None:
    assert expected_versions(request(**headers)) == expected


@pytest.mark.parametrize(
    "headers",
    [
        {"if_match": "7"},
        {"if_match": ""},
        {"if_match": '"a" "b"'},
        {"if_match": '"a",'},
        {"if_match": '"ü"'},
        {"if_none_match": etag(7)},
        {"if_none_match": "*", "if_match": "*"},
    ],
)
def test_a_condition_that_cannot_be_kept_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(Problem) as caught:
        expected_versions(request(**headers))
    assert caught.value.status == 400


def test_a_long_list_that_is_not_well_formed_is_refused_quickly() -> None:
    with pytest.raises(Problem):
        expected_versions(request(if_match='"a" ,' * 3000 + "x"))


@pytest.mark.parametrize(
    ("given", "same"),
    [("*", True), (etag(7), True), (f"W/{etag(7)}", True), (f"{etag(1)}, {etag(7)}", True), (etag(8), False)],
)
def test_a_read_says_which_version_it_has(given: str, same: bool) -> None:
    assert not_modified(request(if_none_match=given), etag(7)) is same


@pytest.mark.parametrize("key", ["", " ", "a b", "a" * 129, "é", "a\tb"])
def test_an_idempotency_key_of_another_form_is_refused(key: str) -> None:
    with pytest.raises(Problem):
        idempotency_key(request(idempotency_key=key))


def test_an_idempotency_key_may_be_left_out() -> None:
    assert idempotency_key(request()) is None
    assert idempotency_key(request(idempotency_key="a-1")) == "a-1"
