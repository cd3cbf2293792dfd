"""Alertmanager in one cluster: who is told of which alert, and which alerts are only another's symptoms."""

from __future__ import annotations

from typing import Any

from components.manifests import Value
from topology.settings import Region

HEARTBEAT = "Watchdog"
"""The prometheus stack's own alert, which always fires: while it arrives, Prometheus, its rules and Alertmanager run."""
HEARTBEAT_SECONDS = 60
"""How often it is sent on."""


def alertmanager(region: Region, topic: Value, heartbeat: Value) -> dict[str, Any]:
    """Alerts go where the alarms go: the region's topic. The heartbeat goes to a topic of its own, which CloudWatch counts:
    when it stops, somebody outside the cluster notices."""

    def sns(arn: Value, *, resolved: bool) -> dict[str, Any]:
        return {"topic_arn": arn, "sigv4": {"region": region.aws_region}, "send_resolved": resolved}

    routes = [
        {
            "receiver": "heartbeat",
            "matchers": [f'alertname="{HEARTBEAT}"'],
            "group_wait": "0s",
            "group_interval": f"{HEARTBEAT_SECONDS}s",
            "repeat_interval": f"{HEARTBEAT_SECONDS}s",
        },
        {"receiver": "nowhere", "matchers": ['alertname="InfoInhibitor"']},
    ]
    return {
        "route": {
            "receiver": "operators",
            "group_by": ["alertname", "severity"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": routes,
        },
        "receivers": [
            {"name": "nowhere"},
            {"name": "heartbeat", "sns_configs": [sns(heartbeat, resolved=False)]},
            {"name": "operators", "sns_configs": [sns(topic, resolved=True)]},
        ],
    }
