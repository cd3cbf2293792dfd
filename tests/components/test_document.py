"""The deployment document that the program renders is the one that the app reads (control 25)."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from app.deployment import Deployment
from components.database import ShardDatabase
from components.document import deployment_documents
from components.redis import RegionCache, RegionSessions
from tests.components.mocked import SECRETS, Built, build, cells, vaults
from tests.stackfiles import topology
from topology import budget

REGIONS = ("us-west", "eu-central", "ap-south")


@functools.cache
def documents(stack: str = "prod", preview: bool = False) -> Built:
    def make() -> Any:
        parsed = topology(stack)
        ground = cells(parsed)
        shards = [ShardDatabase(shard, parsed, ground, vaults(ground)) for shard in parsed.shards]
        caches = {name: RegionCache(cell, parsed, vaults(ground)) for name, cell in ground.items()}
        sessions = {r.name: RegionSessions(r, parsed, ground, vaults(ground)) for r in parsed.ordered_regions}
        made = deployment_documents(parsed, shards, caches, sessions)
        return {name: document.text for name, document in made.items()}

    return build(make, stack=stack, preview=preview)


def read(region: str = "us-west", stack: str = "prod") -> Deployment:
    return msgspec.json.decode(documents(stack).value[region], type=Deployment)


def test_each_region_has_its_own_and_they_differ_in_the_region_alone() -> None:
    assert set(documents().value) == set(REGIONS)
    assert {read(region).region for region in REGIONS} == set(REGIONS)
    assert len({msgspec.structs.replace(read(region), region="").encode() for region in REGIONS}) == 1


def test_it_knows_every_shards_primary_and_replicas() -> None:
    for number, shard in enumerate(read().sharding.shards):
        assert (shard.id, shard.home, shard.primary.region) == (number, REGIONS[number], REGIONS[number])
        assert shard.primary.endpoint.host == f"shard-{number}-{REGIONS[number]}.rds"
        assert {r.region: r.endpoint.host for r in shard.replicas} == {
            region: f"shard-{number}-{region}{'-second' if shard.home == region else ''}.rds" for region in REGIONS
        }


def test_its_slots_are_the_stack_files() -> None:
    ranges = [(k.start, k.end) for shard in read().sharding.shards for k in shard.key_ranges]
    assert ranges == [(0, 333), (334, 666), (667, 999)]
    assert read().sharding.replication_factor == 3


def test_it_knows_every_regions_cache_and_session_stores() -> None:
    for region in read().regions:
        assert region.cache.host == f"{region.name}-cache.cluster"
        assert region.sessions.primary.host == f"{region.name}-sessions-in-{region.name}.primary"
        assert {r.region: r.endpoint.host for r in region.sessions.replicas} == {
            other: f"{region.name}-sessions-in-{other}.reader" for other in REGIONS if other != region.name
        }


def test_every_endpoint_is_verified_tls() -> None:
    document = read()
    endpoints = [e for s in document.sharding.shards for e in (s.primary.endpoint, *(r.endpoint for r in s.replicas))]
    endpoints += [
        e for r in document.regions for e in (r.cache, r.sessions.primary, *(c.endpoint for c in r.sessions.replicas))
    ]
    assert len(endpoints) == 3 * 4 + 3 * 4
    assert all(endpoint.tls for endpoint in endpoints)
    assert document.ca_file


def test_its_pools_are_within_the_connection_budget() -> None:
    parsed = topology("prod")
    pools = read().pools
    most = max(pools.primary_size, pools.replica_size) * budget.connecting_pods(parsed)
    assert most <= parsed.database.max_connections - parsed.database.reserved_connections
    assert pools.statement_cache_capacity == 1000


def test_its_settings_are_the_stack_files() -> None:
    document, parsed = read(), topology("prod")
    assert document.identity.issuer == parsed.identity.issuer
    assert document.countries == parsed.countries
    assert [(k.id, k.state) for k in document.sessions.keyring] == [("k1", "active")]
    assert document.sessions.ttl_seconds == 3600


def test_a_single_region_has_a_document_too() -> None:
    document = read(stack="dev")
    assert [r.name for r in document.regions] == ["us-west"]
    assert document.regions[0].sessions.replicas == ()


def test_no_secret_is_in_it() -> None:
    assert not [secret for secret in SECRETS if secret in "".join(documents().value.values())]


def test_before_the_deployment_it_is_not_known_and_nothing_breaks() -> None:
    assert documents(preview=True).value is None
