"""Subnet allocation: pure, and stable under growth.

A VPC's block is cut into eighths. The first six are the private subnets of up to six zones; the seventh holds
the public subnets, the first half of the eighth the data subnets, eight places each; the last sixteenth is free for
a tier to come. A subnet depends on its tier and its zone's place
alone, so another zone never renumbers one that exists.
"""

from __future__ import annotations

import enum
import math
from ipaddress import IPv4Network

AWS_RESERVED_ADDRESSES = 5
"""Addresses of each subnet that AWS keeps (VPC User Guide, "Subnet sizing")."""
SERVICES = IPv4Network("172.20.0.0/16")
"""The addresses of every cluster's Services: no VPC's, so that the pods of one region reach another's databases."""
EKS_SERVICES = (SERVICES, IPv4Network("10.100.0.0/16"))
"""What EKS takes them from where nothing is said (EKS API Reference, KubernetesNetworkConfigRequest)."""
MAX_ZONES = 6
SMALLEST_SUBNET_PREFIX = 28
_PRIVATE_BLOCK = IPv4Network("10.0.0.0/8")


class Tier(enum.StrEnum):
    """A subnet tier: `public` faces the internet, `private` holds the nodes and pods, `data` has no way out."""

    PUBLIC = "public"
    PRIVATE = "private"
    DATA = "data"


def subnet(vpc: IPv4Network, tier: Tier, zone_index: int) -> IPv4Network:
    """The subnet of `tier` in the zone at place `zone_index` (0 to 5). ValueError where the VPC is too small."""
    if not 0 <= zone_index < MAX_ZONES:
        raise ValueError(f"zone {zone_index}: a VPC has places for {MAX_ZONES} zones")
    match tier:
        case Tier.PRIVATE:
            return _part(vpc, 3, zone_index)
        case Tier.PUBLIC:
            return _part(_part(vpc, 3, 6), 3, zone_index)
        case Tier.DATA:
            return _part(_part(vpc, 3, 7), 4, zone_index)


def place(zone: str) -> int:
    """A zone's place in its VPC: its letter's in the alphabet, so that no order of zones moves a subnet."""
    return ord(zone[-1:] or "a") - ord("a")


def usable_addresses(network: IPv4Network) -> int:
    """Addresses that AWS leaves to us in a subnet."""
    return network.num_addresses - AWS_RESERVED_ADDRESSES


def smallest_vpc_prefix() -> int:
    """The longest VPC prefix whose smallest (data) subnets AWS still accepts."""
    return SMALLEST_SUBNET_PREFIX - 7


def next_free(taken: list[IPv4Network], prefix: int) -> IPv4Network | None:
    """The first 10.0.0.0/8 block of `prefix` behind every block of `taken` in it. None where none is left."""
    step = 2 ** (32 - prefix)
    start = max(
        (int(block.broadcast_address) + 1 for block in taken if block.overlaps(_PRIVATE_BLOCK)),
        default=int(_PRIVATE_BLOCK.network_address),
    )
    address = math.ceil(start / step) * step
    if prefix < _PRIVATE_BLOCK.prefixlen or address > int(_PRIVATE_BLOCK.broadcast_address):
        return None
    return IPv4Network((address, prefix))


def _part(network: IPv4Network, bits: int, index: int) -> IPv4Network:
    """The `index`th of the 2**bits equal parts of a block."""
    prefix = network.prefixlen + bits
    if prefix > SMALLEST_SUBNET_PREFIX:
        raise ValueError(
            f"{network} is too small: its subnets would be /{prefix}, and AWS takes "
            f"/{SMALLEST_SUBNET_PREFIX} at the least"
        )
    return IPv4Network((int(network.network_address) + index * 2 ** (32 - prefix), prefix))
