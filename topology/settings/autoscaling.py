"""The horizontal pod autoscaler."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from topology.settings.base import AS_NUMBER, MOST, Percent, Positive, Settings

MOST_PODS = 5000
"""Pods of one workload that a region's subnets and Istio's control plane are for."""
Pods = Annotated[int, Field(ge=1, le=MOST_PODS), AS_NUMBER]


class ScalePolicy(Settings):
    """One step of an autoscaler: at most `value` pods or percent in `period_seconds`."""

    type: Literal["Percent", "Pods"]
    value: Positive
    period_seconds: Positive = 60


class ScaleRules(Settings):
    """Steps in one direction and how they combine.
    `stabilization_window_seconds`: how long the recommendation must hold.
    """

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=MOST), AS_NUMBER]
    policies: tuple[ScalePolicy, ...] = Field(min_length=1, examples=[[{"type": "Pods", "value": 1}]])
    select_policy: Literal["Max", "Min"] | None = None


class Autoscaling(Settings):
    """The horizontal pod autoscaler of each region; defaults are the specification's section 1.

    `headroom_pods`: as many pods' room is kept free on nodes, so that
    the next pods need not wait 2 to 3 minutes for one.
    """

    min_replicas: Pods = 10
    max_replicas: Pods = 100
    cpu_utilization: Percent = 70
    memory_utilization: Percent = 80
    users_per_pod: Positive = 20
    headroom_pods: Annotated[int, Field(ge=0, le=MOST), AS_NUMBER] = 0
    scale_down: ScaleRules = ScaleRules(
        stabilization_window_seconds=300, policies=(ScalePolicy(type="Percent", value=50),)
    )
    scale_up: ScaleRules = ScaleRules(
        stabilization_window_seconds=0,
        policies=(ScalePolicy(type="Percent", value=100), ScalePolicy(type="Pods", value=10)),
    )
    scheduled_scale_down: ScaleRules = ScaleRules(
        stabilization_window_seconds=300,
        policies=(ScalePolicy(type="Pods", value=10, period_seconds=300),),
        select_policy="Min",
    )
    scheduled_scale_up: ScaleRules = ScaleRules(
        stabilization_window_seconds=0, policies=(ScalePolicy(type="Pods", value=20),), select_policy="Max"
    )
