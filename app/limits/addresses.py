"""Whom an address stands for: a host of IPv4, and a network of IPv6, where a host has as many addresses as it likes."""

from __future__ import annotations

import functools
import ipaddress

MAX_TEXT = 64
PREFIX = 64
"""Bits of an IPv6 address that a provider gives to one customer's network at least (RFC 6177, RIPE-690)."""


def holder(address: bytes | None) -> str | None:
    """The name that an address' requests are counted to, None where it is no address.

    An IPv4 address is its own; the same one written as IPv6 (`::ffff:192.0.2.1`) is no other.
    """
    if address is None or len(address) > MAX_TEXT:
        return None
    if b":" not in address:
        return "ip:" + address.decode("latin-1")
    return _network(address.decode("latin-1"))


@functools.lru_cache(4096)
def _network(text: str) -> str | None:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    if address.ipv4_mapped is not None:
        return f"ip:{address.ipv4_mapped}"
    return f"ip:{ipaddress.IPv6Address(int(address) >> (128 - PREFIX) << (128 - PREFIX))}/{PREFIX}"
