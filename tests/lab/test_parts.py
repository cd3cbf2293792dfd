"""What the lab's parts say of themselves, on production's stack file, before any of them is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.__main__ import topology_of
from lab.assembly import Servers
from lab.parts import Kind, Rack, Role

NAMES = """
links
postgres/shard-0/primary postgres/shard-0/eu-central postgres/shard-0/ap-south postgres/shard-0/us-west
postgres/shard-1/primary postgres/shard-1/us-west postgres/shard-1/ap-south postgres/shard-1/eu-central
postgres/shard-2/primary postgres/shard-2/us-west postgres/shard-2/eu-central postgres/shard-2/ap-south
redis/us-west/cache redis/us-west/sessions redis/eu-central/sessions-of-us-west redis/ap-south/sessions-of-us-west
redis/eu-central/cache redis/eu-central/sessions redis/us-west/sessions-of-eu-central
redis/ap-south/sessions-of-eu-central
redis/ap-south/cache redis/ap-south/sessions redis/us-west/sessions-of-ap-south redis/eu-central/sessions-of-ap-south
app/us-west/0 app/eu-central/0 app/ap-south/0
nginx/us-west nginx/eu-central nginx/ap-south
"""


@pytest.fixture
def rack(tmp_path: Path) -> Rack:
    servers = Servers(topology_of("prod"), tmp_path)
    return Rack(servers.topology, servers.layout, tuple(servers.parts()))


def test_people_know_the_parts_by_these_names(rack: Rack) -> None:
    assert sorted(part.name for part in rack.parts) == sorted(NAMES.split())


def test_a_shard_s_servers_are_found_by_what_they_are(rack: Rack) -> None:
    shard = rack.topology.shards[1]
    assert next(part.region for part in rack.of_shard(shard)) == shard.home
    assert rack.primary(shard).name == "postgres/shard-1/primary"
    standby = rack.replica(shard, "eu-central")
    assert standby is not None
    assert (standby.role, standby.shard, standby.region) == (Role.REPLICA, 1, "eu-central")
    assert rack.replica(shard, "mars") is None


def test_a_region_s_servers_are_found_by_what_they_are(rack: Rack) -> None:
    assert rack.sessions("ap-south").name == "redis/ap-south/sessions"
    assert [part.name for part in rack.apps("ap-south")] == ["app/ap-south/0"]
    assert len(rack.apps()) == rack.topology.lab.app_processes * len(rack.layout.regions)
    assert {part.region for part in rack.of_region("ap-south")} == {"ap-south"}


def test_what_copies_another_part_says_so(rack: Rack) -> None:
    copies = [part for part in rack.parts if part.role is not None and part.role.copies]
    assert {part.kind for part in copies} == {Kind.POSTGRES, Kind.REDIS}
    assert all(part.source for part in copies if part.kind is Kind.REDIS)
    assert len(copies) == len([part for part in rack.parts if "sessions-of" in part.name]) + 9
