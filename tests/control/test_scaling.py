"""The real autoscaling controller on the metrics that prometheus-adapter's own rules name: stairs, floor, a day."""

from __future__ import annotations

import copy
import functools
import itertools
import time
from typing import Any

from components.manifests import autoscaler as manifest
from tests.control.plane import wait
from tests.control.region import Region
from tests.stackfiles import DATA
from topology.load import parse

LOOSE_SECONDS = 900
"""Bound for 10 to 100 pods on prod's clock: on a busy machine what the control plane itself takes is ten times as long
on it. What the policies decide is judged by their steps, and the runs print how long they took.
"""
QUICK = {
    "stabilizationWindowSeconds": 0,
    "policies": [
        {"type": "Percent", "value": 100, "periodSeconds": 15},
        {"type": "Pods", "value": 20, "periodSeconds": 15},
    ],
}
"""README's `hal9:autoscaling.scaleUp` for who cannot wait: a step each time that the autoscaler looks."""
TOLERANCE = 0.1
"""The autoscaling controller leaves alone what is within this of its target (kube-controller-manager's default)."""


def _climb(region: Region) -> tuple[float, list[int]]:
    """More users than the most pods have room for: seconds on prod's clock until all are ready, and the stairs."""
    scaling = region.cluster.topology.autoscaling
    region.add_nodes("spot", region.cluster.topology.cluster.spot.max_nodes)
    region.metrics.numbers.users = scaling.users_per_pod * scaling.max_replicas * 5 // 4
    begun, stairs = time.monotonic(), [scaling.min_replicas]
    while region.ready() < scaling.max_replicas:
        wanted = region.api.get(region.api.path(region.cluster.of("Deployment", "hal9-server")[0]))["spec"]["replicas"]
        if wanted != stairs[-1]:
            stairs.append(wanted)
        assert time.monotonic() - begun < 120, f"{stairs}, {region.ready()} ready: {region.places()}"
        time.sleep(0.3)
    return (time.monotonic() - begun) * region.plane.speed, stairs


def test_ten_become_a_hundred_by_the_specifications_policy(region: Region) -> None:
    seconds, stairs = _climb(region)
    print(f"\nspecification's policy: 10 to 100 pods in {seconds:.0f} s of prod's clock, {stairs}; {region.places()}")
    assert 60 * (len(stairs) - 2) < seconds < LOOSE_SECONDS  # the first step is taken at once
    assert all(after <= max(2 * before, before + 10) for before, after in itertools.pairwise(stairs))


def test_the_quicker_policy_of_the_settings_takes_a_fraction_of_that(region: Region) -> None:
    data = DATA["prod"]
    stack = parse("prod", {**data, "autoscaling": {**data["autoscaling"], "scaleUp": QUICK}})
    asked = manifest.autoscaler(stack)["spec"]["behavior"]["scaleUp"]

    def quick(one: dict[str, Any]) -> None:
        one["spec"]["behavior"]["scaleUp"] = copy.deepcopy(asked)

    region.autoscaler(quick)
    seconds, stairs = _climb(region)
    print(f"\nquicker policy: 10 to 100 pods in {seconds:.0f} s of prod's clock, {stairs}")
    assert seconds < LOOSE_SECONDS
    assert all(after <= max(2 * before, before + 20) for before, after in itertools.pairwise(stairs))
    assert 3 <= len(stairs) - 1 <= 5


def test_the_scheduled_floor_holds_pods_that_nobody_asks_for(region: Region) -> None:
    region.metrics.numbers.floor = 20
    took = region.settle(20, 60)
    print(f"\nfloor: 20 pods after {took * region.plane.speed:.0f} s of prod's clock, with no user")


def test_a_day_of_users_never_lacks_pods_and_ends_at_the_minimum(region: Region) -> None:
    """A day's curve, in steps that last as long as a step of the policy: pods are users / 20, within the tolerance."""
    scaling = region.cluster.topology.autoscaling
    region.add_nodes("spot", 6)
    rows: list[str] = []
    for users in (100, 240, 420, 640, 560, 380, 220, 60):
        region.metrics.numbers.users = users
        need = max(scaling.min_replicas, -(-users // scaling.users_per_pod))
        wait(functools.partial(_as_many, region, need), 100, lambda: f"{rows}, and then {region.places()}")
        rows.append(f"{users}: {len(region.pods())}")
    print(f"\na day, users: pods   {', '.join(rows)}")
    region.settle(scaling.min_replicas, 150)


def _as_many(region: Region, need: int) -> bool:
    return abs(len(region.pods()) - need) <= need * TOLERANCE and region.ready() >= need * (1 - TOLERANCE)
