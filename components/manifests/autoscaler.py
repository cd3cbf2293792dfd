"""`hal9-server-hpa`: the specification's autoscaler to the letter, and the scheduled floor as one more metric."""

from __future__ import annotations

from typing import Any

from components.manifests import SERVER, Manifest, metadata
from topology.settings import ScaleRules
from topology.topology import Topology

NAME = "hal9-server-hpa"
USERS_METRIC = "concurrent_users"
FLOOR_METRIC = "hal9_scheduled_floor_pods"
"""What prometheus-adapter calls the recording rule of components/manifests/schedule.py."""


def autoscaler(topology: Topology) -> Manifest:
    """The only autoscaler of `hal9-server`: the largest of what its metrics ask for, within the bounds.

    The scheduled floor asks for as many pods as its value says (an average of one a pod); its steps are already in the
    recording rule, so that the time of day and the load never pull in two directions.
    """
    settings = topology.autoscaling
    floor = {"metric": {"name": FLOOR_METRIC}, "target": {"type": "AverageValue", "averageValue": "1"}}
    users = {
        "metric": {"name": USERS_METRIC},
        "target": {"type": "AverageValue", "averageValue": str(settings.users_per_pod)},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(NAME),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": SERVER},
            "minReplicas": settings.min_replicas,
            "maxReplicas": settings.max_replicas,
            "metrics": [
                _utilization("cpu", settings.cpu_utilization),
                _utilization("memory", settings.memory_utilization),
                {"type": "Pods", "pods": users},
                {"type": "External", "external": floor},
            ],
            "behavior": {"scaleDown": _rules(settings.scale_down), "scaleUp": _rules(settings.scale_up)},
        },
    }


def _utilization(resource: str, percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}


def _rules(rules: ScaleRules) -> dict[str, Any]:
    written: dict[str, Any] = {
        "stabilizationWindowSeconds": rules.stabilization_window_seconds,
        "policies": [{"type": p.type, "value": p.value, "periodSeconds": p.period_seconds} for p in rules.policies],
    }
    if rules.select_policy is not None:
        written["selectPolicy"] = rules.select_policy
    return written
