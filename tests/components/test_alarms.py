"""A region's alarms."""

from __future__ import annotations

import functools
from typing import Any

import pulumi
import pytest

from components.alarms import RegionAlarms
from components.keys import RegionKeys
from components.region import aws_provider
from tests.components.mocked import Built, build, document
from tests.stackfiles import topology


@functools.cache
def alarms() -> Built:
    def make() -> Any:
        parsed = topology("prod")
        region = parsed.regions["us-west"]
        opts = pulumi.ResourceOptions(providers=[aws_provider("us-west", region.aws_region, parsed)])
        made = RegionAlarms(region, parsed, RegionKeys("us-west", "us-west-2", parsed, ["telemetry"], opts), opts)
        for name, bounds in (("high", {"above": 80.0}), ("low", {"below": 5.0})):
            made.alarm(
                name,
                description=f"{name} of something",
                namespace="AWS/RDS",
                metric="Something",
                dimensions={"DBInstanceIdentifier": "one"},
                tags={"region": "us-west"},
                opts=pulumi.ResourceOptions(parent=made),
                **bounds,  # type: ignore[arg-type]
            )
        return made.topic_arn

    return build(make)


def test_alarms_go_to_the_operators_address() -> None:
    subscription = alarms().one("TopicSubscription").inputs
    assert (subscription["protocol"], subscription["endpoint"], subscription["topic"]) == (
        "email",
        "oncall@hal9.ai",
        "arn:Topic:us-west-alarms",
    )


def test_the_topic_is_encrypted_under_the_regions_key() -> None:
    assert alarms().one("Topic").inputs["kmsMasterKeyId"] == "arn:Key:us-west-telemetry"


def test_only_this_accounts_alarms_and_database_events_may_publish() -> None:
    (statement,) = document(alarms().one("TopicPolicy").inputs["policy"])["Statement"]
    assert statement["Principal"] == {"Service": ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com"]}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}


@pytest.mark.parametrize(
    ("name", "threshold", "comparison"), [("high", 80, "GreaterThanThreshold"), ("low", 5, "LessThanThreshold")]
)
def test_an_alarm_fires_above_or_below_its_threshold(name: str, threshold: float, comparison: str) -> None:
    alarm = alarms().one("MetricAlarm", name).inputs
    assert (alarm["threshold"], alarm["comparisonOperator"]) == (threshold, comparison)


def test_an_alarm_and_its_end_are_told() -> None:
    for alarm in alarms().of("MetricAlarm"):
        assert alarm.inputs["alarmActions"] == alarm.inputs["okActions"] == ["arn:Topic:us-west-alarms"]


def test_an_alarm_asks_for_five_minutes_on_end() -> None:
    alarm = alarms().one("MetricAlarm", "high").inputs
    assert (alarm["period"], alarm["evaluationPeriods"], alarm["datapointsToAlarm"]) == (60, 5, 5)
