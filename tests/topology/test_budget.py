"""What follows from a topology's numbers."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stackfiles import put, refusal, topology
from topology import budget


def test_peak_pods_are_the_maximum_and_the_surge_of_a_rolling_update() -> None:
    assert budget.peak_pods(topology("prod")) == 125


def test_a_surge_is_rounded_up_as_kubernetes_does() -> None:
    assert budget.peak_pods(topology("prod", put("autoscaling.maxReplicas", 101))) == 127


def test_a_surge_that_comes_out_even_adds_no_pod() -> None:
    """100 x 1.1 is 110, and not what binary fractions make of it."""
    assert budget.peak_pods(topology("prod", put("server.maxSurgePercent", 10))) == 110


def test_pods_of_every_region_may_connect_to_an_instance() -> None:
    assert budget.connecting_pods(topology("prod")) == 3 * 125


def test_a_pool_is_a_pods_share_of_the_connections() -> None:
    assert budget.pool_size(topology("prod")) == (3200 - 100) // 375


def test_a_pool_is_never_above_the_specifications_cap() -> None:
    few = topology("prod", put("autoscaling.maxReplicas", 20), put("autoscaling.minReplicas", 10))
    assert budget.pool_size(few) == (3200 - 100) // 75
    one = [put(f"regions.{region}.schedule", []) for region in ("us-west", "eu-central", "ap-south")]
    large = [put("database.instanceClass", "db.r6g.2xlarge"), put("database.maxConnections", 5000)]
    assert budget.pool_size(topology("prod", put("autoscaling.maxReplicas", 10), *one, *large)) == 100


@settings(max_examples=40, deadline=None)
@given(
    most=st.integers(10, 400),
    surge=st.integers(1, 100),
    connections=st.integers(200, 5000),
    reserved=st.integers(1, 199),
)
def test_all_pods_with_full_pools_stay_below_max_connections(
    most: int, surge: int, connections: int, reserved: int
) -> None:
    """Whatever the numbers: either the stack file is refused, or the budget holds at maxReplicas in every region."""
    edits = [
        put("autoscaling.maxReplicas", most),
        put("server.maxSurgePercent", surge),
        put("database.maxConnections", connections),
        put("database.reservedConnections", reserved),
        *(put(f"regions.{region}.schedule", []) for region in ("us-west", "eu-central", "ap-south")),
    ]
    if refused := refusal("prod", *edits):
        assert all("maxConnections" in line or "cidr" in line for line in refused)
        return
    accepted = topology("prod", *edits)
    pools = budget.pools(accepted)
    assert pools.primary_size >= 1
    assert budget.connecting_pods(accepted) * pools.primary_size <= connections - reserved


def test_on_demand_nodes_hold_pods_with_their_sidecars() -> None:
    """m6i.2xlarge: (8 - 0.8 reserved) / (1 + 0.1 of the sidecar) = 6 pods on each of 4 nodes."""
    assert budget.pods_on_demand(topology("prod")) == 24


def test_an_unknown_node_type_holds_no_pods() -> None:
    cluster = topology("prod").cluster
    odd = cluster.model_copy(update={"on_demand": cluster.on_demand.model_copy(update={"instance_type": "x9.large"})})
    assert budget.pods_on_demand(topology("prod").model_copy(update={"cluster": odd})) == 0


def test_addresses_are_needed_by_pods_and_by_nodes() -> None:
    """125 pods at the peak, and 16 addresses for each of 8 + 20 nodes."""
    assert budget.addresses_needed(topology("prod")) == 125 + 28 * (budget.SYSTEM_PODS_PER_NODE + 1)


def test_a_lost_zone_takes_its_addresses() -> None:
    region = topology("prod").regions["us-west"]
    assert budget.addresses_with_a_zone_lost(region) == 2 * (2**13 - 5)


def test_a_single_zone_is_not_counted_as_lost() -> None:
    region = topology("dev", put("regions.us-west.zones", ["us-west-2a"])).regions["us-west"]
    assert budget.addresses_with_a_zone_lost(region) == 2**13 - 5
