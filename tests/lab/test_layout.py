from __future__ import annotations

from collections import Counter

import pytest

from lab.__main__ import topology_of
from lab.layout import Layout
from topology import ports
from topology.topology import Topology


@pytest.fixture(scope="module")
def topology() -> Topology:
    return topology_of("prod")


@pytest.fixture(scope="module")
def layout(topology: Topology) -> Layout:
    return Layout(topology)


def listeners(layout: Layout) -> list[tuple[str, int]]:
    """Every address and port that some server of the lab listens on, links included."""
    found = [route.listen for route in layout.routes()]
    for region in layout.regions:
        host = layout.host(region)
        found += [(host, port) for port in (*layout.ports(region), ports.GATEWAY, ports.GATEWAY_HEALTH)]
        for process in range(layout.topology.lab.app_processes):
            found += [("127.0.0.1", port) for port in layout.app_ports(region, process)]
    return found


def test_no_address_and_port_is_given_twice(layout: Layout) -> None:
    assert [where for where, times in Counter(listeners(layout)).items() if times > 1] == []


def test_the_apps_ports_which_are_taken_on_every_address_are_nobody_elses(layout: Layout) -> None:
    apps = [port for region in layout.regions for port in layout.app_ports(region, 0)]
    others = [port for host, port in listeners(layout) if host != "127.0.0.1"]
    assert set(apps).isdisjoint(others)


def test_every_server_of_another_region_is_reached_over_a_link_to_where_it_is(layout: Layout) -> None:
    ways = {(route.listen, route.source): (route.target, route.destination) for route in layout.routes()}
    for viewer in layout.regions:
        for region in layout.regions:
            if region != viewer:
                for port in layout.ports(region):
                    there = ways[(layout.seen_from(viewer, region), port), viewer]
                    assert there == ((layout.host(region), port), region)


def test_a_document_names_a_server_of_another_region_only_by_its_link(layout: Layout, topology: Topology) -> None:
    links = {route.listen for route in layout.routes()}
    for viewer in layout.regions:
        named = [layout.primary(viewer, shard) for shard in topology.shards]
        named += [replica for shard in topology.shards for replica in layout.replicas(viewer, shard)]
        for connection in named:
            where = (connection.endpoint.host, connection.endpoint.port)
            assert (where in links) == (connection.region != viewer)


def test_the_gateways_reach_each_other_over_links(layout: Layout) -> None:
    links = {route.listen for route in layout.routes()}
    first, second, *_ = layout.regions
    assert (layout.seen_from(first, second), ports.GATEWAY_PEERS) in links


def test_at_home_there_is_no_link(layout: Layout) -> None:
    region = layout.regions[0]
    assert layout.seen_from(region, region) == layout.host(region)
