"""Whom an address' requests are counted to."""

from __future__ import annotations

import pytest

from app.limits.addresses import holder


def test_an_ipv4_address_is_its_own() -> None:
    assert holder(b"192.0.2.1") != holder(b"192.0.2.2")


@pytest.mark.parametrize(
    "other", [b"2001:db8::1", b"2001:DB8:0:0::ffff", b"2001:0db8:0000:0000:ffff:ffff:ffff:ffff", b"2001:db8::%eth0"]
)
def test_a_network_of_ipv6_is_one(other: bytes) -> None:
    assert holder(other) == holder(b"2001:db8::") == "ip:2001:db8::/64"


def test_the_next_network_is_another() -> None:
    assert holder(b"2001:db8:0:1::1") != holder(b"2001:db8::1")


def test_an_ipv4_address_in_ipv6_is_the_same() -> None:
    assert holder(b"::ffff:192.0.2.1") == holder(b"192.0.2.1")
    assert holder(b"::ffff:192.0.2.2") != holder(b"192.0.2.1")


@pytest.mark.parametrize("nothing", [None, b"", b"a:b", b"1" * 65, b"2001:db8::1, 2001:db8::2", b"[2001:db8::1]:80"])
def test_what_is_no_address_is_nobody_s_or_one_name(nothing: bytes | None) -> None:
    assert holder(nothing) in (None, "ip:")
