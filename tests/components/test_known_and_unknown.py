"""Every component before and after its outputs are known: it
registers the same, in the same place, with the same options.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from plan.values import is_unknown
from tests.components import (
    test_cluster,
    test_database,
    test_domain,
    test_edge,
    test_firewall,
    test_keys,
    test_load_balancers,
    test_network,
    test_peering,
    test_redis,
    test_registry,
    test_secrets,
)
from tests.components.mocked import Built, Registered

BUILDERS: dict[str, Callable[..., Built]] = {
    "cluster": test_cluster.cluster,
    "database": test_database.shards,
    "domain": test_domain.domain,
    "edge": test_edge.edge,
    "firewall": test_firewall.firewall,
    "keys": test_keys.keys,
    "load balancers": test_load_balancers.balancers,
    "network": test_network.network,
    "peering": test_peering.mesh,
    "redis": test_redis.redis,
    "registry": test_registry.registries,
    "secrets": test_secrets.secrets,
}
each = pytest.mark.parametrize("component", BUILDERS)


def _options(resource: Registered) -> tuple[Any, ...]:
    return resource.parent, resource.provider, resource.protect, resource.ignore_changes, resource.secret_outputs


def _agree(before: Any, after: Any) -> bool:
    """Whether what is known before is what is known after."""
    if is_unknown(before):
        return True
    if isinstance(before, dict):
        return isinstance(after, dict) and all(
            key in after and _agree(value, after[key]) for key, value in before.items()
        )
    if isinstance(before, list):
        return isinstance(after, list) and len(before) == len(after) and all(map(_agree, before, after))
    return bool(before == after)


@each
def test_nothing_is_made_only_when_a_value_is_known(component: str) -> None:
    make = BUILDERS[component]
    assert {r.urn for r in make(preview=True).resources} == {r.urn for r in make().resources}


@each
def test_options_do_not_hang_on_a_value(component: str) -> None:
    make = BUILDERS[component]
    known = {r.urn: _options(r) for r in make().resources}
    assert {r.urn: _options(r) for r in make(preview=True).resources} == known


@each
def test_what_is_known_before_the_deployment_does_not_change_with_it(component: str) -> None:
    make = BUILDERS[component]
    known = {r.urn: r.inputs for r in make().resources}
    assert [r.urn for r in make(preview=True).resources if not _agree(dict(r.inputs), dict(known[r.urn]))] == []


@each
def test_every_resource_has_a_provider_of_its_own_and_stands_in_a_component(component: str) -> None:
    built = BUILDERS[component]()
    for resource in built.resources:
        if resource.custom and resource.type.startswith("aws:"):
            assert resource.region, f"{resource.urn} has the default provider"
            assert not built.by_urn(resource.parent).custom, f"{resource.urn} stands in no component"


@each
def test_every_component_exports_something_once(component: str) -> None:
    components = [r for r in BUILDERS[component]().resources if not r.custom]
    assert components
    assert all(set(c.outputs) > {"_done"} or c.kind == "NodeGroups" for c in components), [c.urn for c in components]
