"""What carries the specification's targets with one region lost, and where a stack file has too little."""

from __future__ import annotations

import math

import pytest

from components.manifests import gateway
from lab.load.mix import Mix
from tests.stackfiles import put, topology
from topology import budget, capacity

WITHOUT_SCHEDULE = [put(f"regions.{region}.schedule", []) for region in ("us-west", "eu-central", "ap-south")]


def test_the_two_regions_that_are_left_share_the_load() -> None:
    needed = capacity.need(topology("prod"), 10_000, per_core=1000, gateway_per_core=5000)
    assert needed.surviving_regions == 2
    assert needed.requests_per_pod == pytest.approx(700)  # one core, scaled at 70% of it
    assert needed.pods == math.ceil(5000 / 700)
    assert needed.nodes == math.ceil(needed.pods / budget.pods_per_node(topology("prod")))
    assert needed.gateway_cores == 1.0
    assert needed.connections == needed.pods * 2 * ((3200 - 100) // 375)


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_project_s_own_stack_files_agree_with_what_was_measured(stack: str) -> None:
    assert capacity.capacity_warnings(topology(stack)) == []


@pytest.mark.parametrize(
    ("figure", "value", "key"),
    [
        ("APP_REQUESTS_PER_CORE", 10, "autoscaling.minReplicas"),
        ("APP_REQUESTS_PER_CORE", 10, "autoscaling.maxReplicas"),
        ("APP_REQUESTS_PER_CORE", 10, "cluster's nodes"),
        ("GATEWAY_REQUESTS_PER_CORE", 1000, "gateway.replicas"),
    ],
)
def test_a_core_that_carries_too_little_is_a_warning_that_names_the_key(
    figure: str, value: float, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, figure, value)
    assert any(key in warning for warning in capacity.capacity_warnings(topology("prod")))


def test_fewer_pods_at_the_most_than_the_load_needs_is_one_warning() -> None:
    few = topology("prod", put("autoscaling.maxReplicas", 2), put("autoscaling.minReplicas", 2), *WITHOUT_SCHEDULE)
    (warning,) = capacity.capacity_warnings(few)
    assert "autoscaling.maxReplicas 2 is below" in warning


def test_the_sheet_shows_its_arithmetic_and_the_stack_file_s_own_numbers() -> None:
    text = "\n".join(capacity.capacity_sheet(topology("prod"), 1000, 5000))
    assert "1000 x 1 x 0.7 = 700 requests a second a pod" in text
    assert "10000 / 2 = 5000 a second | / 700 = 8 |" in text
    assert "minReplicas 10, maxReplicas 100" in text


def test_the_think_time_is_the_lab_s_and_the_gateway_s_limit_its_manifest_s() -> None:
    assert Mix().think_seconds == capacity.THINK_SECONDS
    pod = gateway.deployment(topology("prod"), "image", "counter", "hash")["spec"]["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert float(limits["cpu"]) == capacity.GATEWAY_CPU_LIMIT
