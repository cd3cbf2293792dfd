"""Subnet allocation: disjoint, inside the VPC, never renumbered."""

from __future__ import annotations

from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology import addressing
from topology.addressing import MAX_ZONES, Tier

LONGEST = addressing.smallest_vpc_prefix()


@st.composite
def blocks(draw: st.DrawFn, shortest: int = 16, longest: int = LONGEST) -> IPv4Network:
    prefix = draw(st.integers(shortest, longest))
    return IPv4Network((draw(st.integers(0, 2**prefix - 1)) << (32 - prefix), prefix))


def every_subnet(vpc: IPv4Network, zones: int = MAX_ZONES) -> list[IPv4Network]:
    return [addressing.subnet(vpc, tier, zone) for tier in Tier for zone in range(zones)]


@given(blocks())
def test_subnets_are_disjoint(vpc: IPv4Network) -> None:
    assert not [pair for pair in combinations(every_subnet(vpc), 2) if pair[0].overlaps(pair[1])]


@given(blocks())
def test_subnets_lie_inside_the_vpc(vpc: IPv4Network) -> None:
    assert all(subnet.subnet_of(vpc) for subnet in every_subnet(vpc))


@given(blocks())
def test_the_last_sixteenth_is_left_for_a_tier_to_come(vpc: IPv4Network) -> None:
    spare = list(vpc.subnets(new_prefix=vpc.prefixlen + 4))[-1]
    assert not [subnet for subnet in every_subnet(vpc) if subnet.overlaps(spare)]


@given(blocks())
def test_no_subnet_is_smaller_than_aws_takes(vpc: IPv4Network) -> None:
    assert max(subnet.prefixlen for subnet in every_subnet(vpc)) <= addressing.SMALLEST_SUBNET_PREFIX


@given(blocks())
def test_the_private_tier_has_most_of_the_block(vpc: IPv4Network) -> None:
    private = sum(addressing.subnet(vpc, Tier.PRIVATE, zone).num_addresses for zone in range(MAX_ZONES))
    assert private * 4 == vpc.num_addresses * 3


def test_production_like_subnets_are_where_they_always_were() -> None:
    """To the letter: a change of the allocation would replace every subnet of a deployed stack."""
    vpc = IPv4Network("10.1.0.0/16")
    assert {tier: [str(addressing.subnet(vpc, tier, zone)) for zone in range(3)] for tier in Tier} == {
        Tier.PUBLIC: ["10.1.192.0/22", "10.1.196.0/22", "10.1.200.0/22"],
        Tier.PRIVATE: ["10.1.0.0/19", "10.1.32.0/19", "10.1.64.0/19"],
        Tier.DATA: ["10.1.224.0/23", "10.1.226.0/23", "10.1.228.0/23"],
    }


def test_a_vpc_that_is_too_small_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"its subnets would be /29, and AWS takes /28 at the least"):
        addressing.subnet(IPv4Network("10.0.0.0/22"), Tier.DATA, 0)


@pytest.mark.parametrize("zone", [-1, MAX_ZONES])
def test_a_zone_beyond_the_places_is_refused(zone: int) -> None:
    with pytest.raises(ValueError, match=rf"zone {zone}: a VPC has places for {MAX_ZONES} zones"):
        addressing.subnet(IPv4Network("10.0.0.0/16"), Tier.PUBLIC, zone)


@given(st.lists(blocks(shortest=12), max_size=6), st.integers(16, LONGEST))
def test_a_free_block_overlaps_none_that_is_taken(taken: list[IPv4Network], prefix: int) -> None:
    free = addressing.next_free(taken, prefix)
    assert free is None or not [block for block in taken if block.overlaps(free)]


@given(st.lists(st.integers(0, 254).map(lambda i: IPv4Network(f"10.{i}.0.0/16")), max_size=6))
def test_a_free_block_is_found_while_there_is_room(taken: list[IPv4Network]) -> None:
    free = addressing.next_free(taken, 16)
    assert free is not None
    assert free.subnet_of(IPv4Network("10.0.0.0/8"))
    assert all(free.network_address > block.network_address for block in taken)


def test_no_free_block_is_named_behind_the_last_one() -> None:
    assert addressing.next_free([IPv4Network("10.255.0.0/16")], 16) is None
