"""Who is told of an alert."""

from __future__ import annotations

import re
from typing import Any

from components.manifests import monitoring, routing
from components.manifests.incidents import SYMPTOMS
from tests.stackfiles import topology

PROD = topology("prod")
WEST = PROD.regions["us-west"]
CONFIG = routing.alertmanager(WEST, PROD, "arn:alarms", "arn:heartbeat")


def test_what_always_fires_leaves_the_cluster_every_minute() -> None:
    """Sent nowhere, its silence would be noticed by nobody."""
    route = next(one for one in CONFIG["route"]["routes"] if one["matchers"] == ['alertname="Watchdog"'])
    receiver = next(one for one in CONFIG["receivers"] if one["name"] == route["receiver"])
    assert [one["topic_arn"] for one in receiver["sns_configs"]] == ["arn:heartbeat"]
    assert route["repeat_interval"] == route["group_interval"] == "60s"


def _receiver(**labels: str) -> dict[str, Any]:
    """Who is told of an alert with these labels: the first route that takes it."""
    name = next(
        (route["receiver"] for route in CONFIG["route"]["routes"] if _takes(route["matchers"], labels)),
        CONFIG["route"]["receiver"],
    )
    return next(one for one in CONFIG["receivers"] if one["name"] == name)


def _takes(matchers: list[str], labels: dict[str, str]) -> bool:
    for matcher in matchers:
        name, regular, wanted = re.fullmatch(r'(\w+)=(~?)"(.*)"', matcher).groups()  # type: ignore[union-attr]
        said = labels.get(name, "")
        if not (re.fullmatch(wanted, said) if regular else said == wanted):
            return False
    return True


def _is_told(**labels: str) -> bool:
    return [one["topic_arn"] for one in _receiver(**labels).get("sns_configs", [])] == ["arn:alarms"]


def test_every_alert_of_ours_goes_where_the_alarms_go() -> None:
    for name in monitoring.alert_names(WEST, PROD):
        assert _is_told(alertname=name, severity="warning")


def test_of_the_stacks_own_alerts_only_what_is_critical_is_sent() -> None:
    assert _is_told(alertname="KubeAPIDown", severity="critical")
    assert not _is_told(alertname="KubeHpaMaxedOut", severity="warning")
    assert not _is_told(alertname="InfoInhibitor", severity="none")


def _inhibited(name: str, while_: str) -> bool:
    return any(
        _takes(rule["source_matchers"], {"alertname": while_}) and _takes(rule["target_matchers"], {"alertname": name})
        for rule in CONFIG["inhibit_rules"]
        if "equal" not in rule
    )


def test_a_symptom_is_not_sent_while_its_cause_is() -> None:
    assert _inhibited("ErrorBudgetBurn1H", while_="ShardPrimaryAway")
    assert _inhibited("SignInFails", while_="SessionStoreAway")
    assert not _inhibited("ShardPrimaryAway", while_="ErrorBudgetBurn1H")
    assert not _inhibited("EdgeSecretRefused", while_="ServerPodsMissing")


def test_every_cause_and_every_symptom_is_an_alert_that_there_is() -> None:
    names = monitoring.alert_names(WEST, PROD)
    assert set(SYMPTOMS) <= set(names)
    unknown = [one for found in SYMPTOMS.values() for one in found if not any(re.fullmatch(one, n) for n in names)]
    assert unknown == []


def test_no_cause_hides_itself_behind_its_own_symptom() -> None:
    """Two alerts that inhibit each other are both silent."""
    for cause, symptoms in SYMPTOMS.items():
        for symptom in symptoms:
            assert not any(re.fullmatch(one, cause) for one in SYMPTOMS.get(symptom, ()))
