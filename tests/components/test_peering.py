"""The peering mesh: every pair, routes and names both ways (control 21)."""

from __future__ import annotations

import functools
from itertools import combinations
from typing import Any

import pytest

from components.peering import PeeringMesh
from tests.components.mocked import Built, build, cells
from tests.stackfiles import put, topology

AWS = {"us-west": "us-west-2", "eu-central": "eu-central-1", "ap-south": "ap-south-1", "sa-east": "sa-east-1"}
BLOCKS = {"us-west": "10.0.0.0/16", "eu-central": "10.1.0.0/16", "ap-south": "10.2.0.0/16", "sa-east": "10.3.0.0/16"}
SA_EAST = {"awsRegion": "sa-east-1", "cidr": "10.3.0.0/16", "zones": ["sa-east-1a", "sa-east-1b", "sa-east-1c"]}


@functools.cache
def mesh(four: bool = False, preview: bool = False) -> Built:
    def make() -> dict[str, Any]:
        parsed = topology("prod", *([put("regions.sa-east", SA_EAST)] if four else []))
        return PeeringMesh(parsed, cells(parsed)).connection_ids

    return build(make, preview=preview)


def test_every_pair_of_regions_is_joined() -> None:
    assert {c.name for c in mesh().of("VpcPeeringConnection")} == {
        "us-west--eu-central",
        "us-west--ap-south",
        "eu-central--ap-south",
    }


def test_one_region_asks_and_the_other_accepts_each_in_its_own_region() -> None:
    built = mesh()
    for pair in ("us-west--eu-central", "us-west--ap-south", "eu-central--ap-south"):
        asks, _, accepts = pair.partition("--")
        connection, accepter = built.one("VpcPeeringConnection", pair), built.one("VpcPeeringConnectionAccepter", pair)
        assert (connection.region, connection.inputs["peerRegion"]) == (AWS[asks], AWS[accepts])
        assert (connection.inputs["vpcId"], connection.inputs["peerVpcId"]) == (f"{asks}-id", f"{accepts}-id")
        assert (accepter.region, accepter.inputs["autoAccept"]) == (AWS[accepts], True)


def test_every_route_table_leads_to_every_other_region() -> None:
    """The data tier too: its answers find the way back."""
    built = mesh()
    tables = {f"{table.name}-id": table.region for table in built.of("RouteTable")}
    found = {
        (r.inputs["routeTableId"], r.inputs["destinationCidrBlock"])
        for r in built.of("Route")
        if "vpcPeeringConnectionId" in r.inputs
    }
    assert found == {
        (table, BLOCKS[other])
        for table, aws_region in tables.items()
        for other in ("us-west", "eu-central", "ap-south")
        if AWS[other] != aws_region
    }


def test_a_route_is_made_in_the_region_of_its_table() -> None:
    built = mesh()
    tables = {f"{table.name}-id": table.region for table in built.of("RouteTable")}
    assert all(r.region == tables[r.inputs["routeTableId"]] for r in built.of("Route"))


def test_names_resolve_both_ways() -> None:
    options = mesh().of("PeeringConnectionOptions")
    sides = {(o.name, *(side for side in ("requester", "accepter") if side in o.inputs), o.region) for o in options}
    assert sides == {
        side
        for asks, accepts in combinations(("us-west", "eu-central", "ap-south"), 2)
        for side in (
            (f"{asks}--{accepts}-asks", "requester", AWS[asks]),
            (f"{asks}--{accepts}-accepts", "accepter", AWS[accepts]),
        )
    }
    assert all(
        (o.inputs.get("requester") or o.inputs["accepter"])["allowRemoteVpcDnsResolution"] is True for o in options
    )


@pytest.mark.parametrize("kind", ["Route", "PeeringConnectionOptions"])
def test_routes_and_options_wait_until_the_peering_is_accepted(kind: str) -> None:
    built = mesh()
    for resource in built.of(kind, below="peering"):
        above = {built.by_urn(urn).kind for urn in resource.dependencies}
        assert "VpcPeeringConnectionAccepter" in above


def test_a_region_more_only_adds() -> None:
    three, four = mesh(), mesh(four=True)
    before = {r.urn: r.inputs for r in three.below("peering")}
    after = {r.urn: r.inputs for r in four.below("peering")}
    assert before == {urn: after[urn] for urn in before}
    assert len(four.of("VpcPeeringConnection")) == 6


def test_it_exports_each_connection() -> None:
    assert set(mesh().value) == {"us-west--eu-central", "us-west--ap-south", "eu-central--ap-south"}
