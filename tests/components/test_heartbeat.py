"""A region whose monitoring does not run is noticed from outside (control 28)."""

from __future__ import annotations

import pytest

from plan import Plan
from plan.record import Resource
from tests.conftest import PlanOf

REGIONS = {"us-west": "us-west-2", "eu-central": "eu-central-1", "ap-south": "ap-south-1"}


def _named(plan: Plan, name: str, kind: str) -> Resource:
    return next(one for one in plan.resources if (one.name, one.kind) == (name, kind))


@pytest.mark.parametrize("region", REGIONS)
def test_silence_is_an_alarm(plan_of: PlanOf, region: str) -> None:
    alarm = _named(plan_of("prod"), f"{region}-heartbeat", "MetricAlarm").inputs
    assert (alarm["namespace"], alarm["metricName"]) == ("AWS/SNS", "NumberOfMessagesPublished")
    assert alarm["dimensions"] == {"TopicName": f"hal9-prod-{region}-heartbeat"}
    assert (alarm["treatMissingData"], alarm["comparisonOperator"]) == ("breaching", "LessThanThreshold")
    assert alarm["statistic"] == "Sum"


@pytest.mark.parametrize("region", REGIONS)
def test_its_topic_is_in_the_region(plan_of: PlanOf, region: str) -> None:
    topic = _named(plan_of("prod"), f"{region}-heartbeat", "Topic")
    assert (topic.region, topic.inputs["name"]) == (REGIONS[region], f"hal9-prod-{region}-heartbeat")


@pytest.mark.parametrize("region", REGIONS)
def test_the_alarm_is_made_when_the_heart_beats(plan_of: PlanOf, region: str) -> None:
    plan = plan_of("prod")
    before = {plan.by_urn[urn].name for urn in _named(plan, f"{region}-heartbeat", "MetricAlarm").dependencies}
    assert f"{region}-kube-prometheus-stack" in before
