"""The edge's failures are noticed where its metrics are, and from outside (control 28)."""

from __future__ import annotations

import pytest

from plan import Plan
from plan.record import Resource
from tests.conftest import PlanOf

STACKS = ("dev", "prod")


def _of(plan: Plan, kind: str, name: str) -> Resource:
    return next(one for one in plan.resources if (one.kind, one.name) == (kind, name))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(
    ("name", "metric", "dimensions"),
    [
        ("edge-errors", ("AWS/CloudFront", "5xxErrorRate"), {"DistributionId", "Region"}),
        ("edge-unreachable", ("AWS/Route53", "HealthCheckStatus"), {"HealthCheckId"}),
    ],
)
def test_the_alarm_is_on_a_metric_of_us_east_1_and_somebody_is_told(
    plan_of: PlanOf, stack: str, name: str, metric: tuple[str, str], dimensions: set[str]
) -> None:
    plan = plan_of(stack)
    alarm = _of(plan, "MetricAlarm", name)
    assert alarm.region == "us-east-1"
    assert (alarm.inputs["namespace"], alarm.inputs["metricName"]) == metric
    assert set(alarm.inputs["dimensions"]) == dimensions
    assert _of(plan, "Topic", "edge-alarms").urn in alarm.property_dependencies["alarmActions"]
    subscription = _of(plan, "TopicSubscription", "edge-alarms-email")
    assert (subscription.region, subscription.inputs["protocol"]) == ("us-east-1", "email")


@pytest.mark.parametrize("stack", STACKS)
def test_checkers_ask_the_public_address_as_a_user_does(plan_of: PlanOf, stack: str) -> None:
    check = _of(plan_of(stack), "HealthCheck", "edge").inputs
    assert (check["type"], check["port"], check["enableSni"]) == ("HTTPS", 443, True)
    assert check["fqdn"] == {"dev": "dev.hal9.ai", "prod": "hal9.ai"}[stack]
    assert check["resourcePath"] == "/healthz"


def test_a_checker_that_says_nothing_is_an_alarm_and_a_night_without_requests_is_none(plan_of: PlanOf) -> None:
    plan = plan_of("prod")
    assert _of(plan, "MetricAlarm", "edge-unreachable").inputs["treatMissingData"] == "breaching"
    assert _of(plan, "MetricAlarm", "edge-errors").inputs["treatMissingData"] == "notBreaching"
