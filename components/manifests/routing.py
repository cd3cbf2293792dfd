"""Alertmanager in one cluster: who is told of which alert, and which alerts are only another's symptoms."""

from __future__ import annotations

from typing import Any

from components.manifests import Value, monitoring
from components.manifests.incidents import SYMPTOMS
from topology.settings import Region
from topology.topology import Topology

HEARTBEAT = "Watchdog"
"""The prometheus stack's own alert, which always fires:
while it arrives, Prometheus, its rules and Alertmanager run.
"""
HEARTBEAT_SECONDS = 60
"""How often it is sent on."""


def alertmanager(region: Region, topology: Topology, topic: Value, heartbeat: Value) -> dict[str, Any]:
    """Our alerts go where the alarms go: the region's topic; of the stack's own some 130, those that are critical. The
    heartbeat goes to a topic of its own, which CloudWatch
    counts: when it stops, somebody outside the cluster notices.
    """

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
        {"receiver": "operators", "matchers": [f'alertname=~"{"|".join(monitoring.alert_names(region, topology))}"']},
        {"receiver": "operators", "matchers": ['severity="critical"']},
    ]
    return {
        "route": {
            "receiver": "nowhere",  # what nobody has to act upon is on Alertmanager's own page
            "group_by": ["alertname", "severity"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": routes,
        },
        "inhibit_rules": _inhibitions(),
        "receivers": [
            {"name": "nowhere"},
            {"name": "heartbeat", "sns_configs": [sns(heartbeat, resolved=False)]},
            {"name": "operators", "sns_configs": [sns(topic, resolved=True)]},
        ],
    }


def _inhibitions() -> list[dict[str, Any]]:
    """A symptom is not sent while its cause is; nor a warning while its own critical form is, as the stack has it."""
    causes = [
        {"source_matchers": [f'alertname="{cause}"'], "target_matchers": [f'alertname=~"{"|".join(symptoms)}"']}
        for cause, symptoms in SYMPTOMS.items()
    ]
    same = {"equal": ["namespace", "alertname"]}
    return [
        *causes,
        {"source_matchers": ['severity="critical"'], "target_matchers": ['severity=~"warning|info"'], **same},
        {"source_matchers": ['severity="warning"'], "target_matchers": ['severity="info"'], **same},
    ]
