"""Who is told of an alert."""

from __future__ import annotations

from components.manifests import routing
from tests.stackfiles import topology

CONFIG = routing.alertmanager(topology("prod").regions["us-west"], "arn:alarms", "arn:heartbeat")


def test_what_always_fires_leaves_the_cluster_every_minute() -> None:
    """Sent nowhere, its silence would be noticed by nobody."""
    route = next(one for one in CONFIG["route"]["routes"] if one["matchers"] == ['alertname="Watchdog"'])
    receiver = next(one for one in CONFIG["receivers"] if one["name"] == route["receiver"])
    assert [one["topic_arn"] for one in receiver["sns_configs"]] == ["arn:heartbeat"]
    assert route["repeat_interval"] == route["group_interval"] == "60s"


def test_alerts_go_where_the_alarms_go() -> None:
    receiver = next(one for one in CONFIG["receivers"] if one["name"] == CONFIG["route"]["receiver"])
    assert [(one["topic_arn"], one["send_resolved"]) for one in receiver["sns_configs"]] == [("arn:alarms", True)]
