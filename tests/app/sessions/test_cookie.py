from __future__ import annotations

import pytest

from app.sessions import cookie as session_cookie


def test_ids_are_256_random_bits() -> None:
    ids = {session_cookie.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(session_cookie.is_id(made) for made in ids)


def test_a_cookie_is_bound_to_the_host_and_to_tls() -> None:
    made = session_cookie.make("x" * 43, 90)
    assert made.split("; ") == [
        f"__Host-session={'x' * 43}",
        "Path=/",
        "Secure",
        "HttpOnly",
        "SameSite=Lax",
        "Max-Age=90",
    ]


def test_the_id_comes_back_from_among_other_cookies() -> None:
    session_id = session_cookie.new_id()
    assert session_cookie.read(f"a=b; __Host-session={session_id}; c=d") == session_id


@pytest.mark.parametrize(
    "header",
    [
        "",
        "a=b",
        f"session={'x' * 43}",
        f"__Host-session={'x' * 42}",
        f"__Host-session={'x' * 44}",
        f"__Host-session={'x' * 42}/",
        f"__Host-session={'x' * 43}; __Host-session={'y' * 43}",
        f"__host-session={'x' * 43}",
        "__Host-session=" + "é" * 43,
    ],
)
def test_what_is_not_one_id_of_ours_is_no_session(header: str) -> None:
    assert session_cookie.read(header) is None
