"""The preflight's live half, against moto's AWS: nothing is changed, and what is missing is found."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from policies import tokens
from policies.stack import Stack
from preflight import live, offline
from preflight.finding import Finding
from tests.conftest import PlanOf
from tests.policies.edits import edited, put
from tests.stackfiles import topology

REGIONS = ("us-west-2", "eu-central-1", "ap-south-1")


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fresh account, all in memory."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


def asked(plan_of: PlanOf, question: live.Question) -> list[Finding]:
    plan = plan_of("prod")
    return list(question(topology("prod"), Stack(plan.resources), live.Clients()))


@pytest.mark.usefixtures("cloud")
def test_the_credentials_must_be_the_stack_files_accounts(plan_of: PlanOf) -> None:
    assert asked(plan_of, live.the_account) == []  # moto's account is 123456789012
    other = topology("prod").model_copy(update={"account_id": "210987654321"})
    (finding,) = live.the_account(other, Stack(()), live.Clients())
    assert "123456789012's" in finding.fact


@pytest.mark.usefixtures("cloud")
def test_a_fresh_accounts_quotas_are_too_low(plan_of: PlanOf) -> None:
    found = {(f.resource, f.fact.split()[0]) for f in asked(plan_of, live.the_quotas)}
    assert {("vcpus-on-demand", region) for region in REGIONS} <= found


@pytest.mark.usefixtures("cloud")
def test_the_types_of_the_stack_file_are_sold_and_m5n_is_not(plan_of: PlanOf) -> None:
    assert asked(plan_of, live.the_offerings) == []
    stack = Stack(plan_of("prod").resources)
    changed = edited(stack, tokens.NODE_GROUP, ["ap-south-spot-a"], put(("instanceTypes", 0), "m5n.2xlarge"))
    (finding,) = live.the_offerings(topology("prod"), changed, live.Clients())
    assert finding.fact == "m5n.2xlarge is not sold in ap-south-1a today"


@pytest.mark.usefixtures("cloud")
def test_an_administrators_role_must_be_there(plan_of: PlanOf) -> None:
    (finding,) = asked(plan_of, live.the_roles)
    assert finding.fact == "there is no role hal9-deployer"
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    boto3.client("iam", "us-east-1").create_role(RoleName="hal9-deployer", AssumeRolePolicyDocument=trust)
    assert asked(plan_of, live.the_roles) == []


@pytest.mark.usefixtures("cloud")
def test_the_image_must_be_in_every_regions_registry(plan_of: PlanOf) -> None:
    found = asked(plan_of, live.the_image)
    assert [region in finding.fact for finding, region in zip(found, REGIONS, strict=True)] == [True] * 3


@pytest.mark.usefixtures("cloud")
def test_a_subscription_that_nobody_confirmed_is_told(plan_of: PlanOf) -> None:
    assert asked(plan_of, live.the_subscriptions) == []  # nothing is deployed
    sns = boto3.client("sns", "us-west-2")
    arn = sns.create_topic(Name="hal9-prod-us-west-alarms")["TopicArn"]
    (finding,) = asked(plan_of, live.the_subscriptions)
    assert finding.resource == "hal9-prod-us-west-alarms"
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint="arn:aws:sqs:us-west-2:123456789012:one")
    assert asked(plan_of, live.the_subscriptions) == []


@pytest.mark.usefixtures("cloud")
def test_a_zone_must_be_the_domains() -> None:
    def named(zone: str) -> list[Finding]:
        prod = topology("prod")
        edge = prod.edge.model_copy(update={"hosted_zone_id": zone})
        return list(live.the_zone(prod.model_copy(update={"edge": edge}), Stack(()), live.Clients()))

    assert [finding.fact for finding in named("Z0NOTHERE")] == ["there is no zone Z0NOTHERE"]
    route53 = boto3.client("route53", "us-east-1")
    mine = route53.create_hosted_zone(Name="hal9.ai", CallerReference="1")["HostedZone"]["Id"].rpartition("/")[2]
    other = route53.create_hosted_zone(Name="hal8.ai", CallerReference="2")["HostedZone"]["Id"].rpartition("/")[2]
    assert named(mine) == []
    assert "hal8.ai's" in named(other)[0].fact


def test_without_credentials_it_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    (finding,) = live.findings(topology("prod"), Stack(()), live.Clients())
    assert (finding.check, "did not answer" in finding.fact) == ("account", True)


def test_boto3_is_loaded_by_the_live_half_alone() -> None:
    code = "import sys, preflight.__main__; print('boto3' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
    assert offline.QUESTIONS.keys().isdisjoint(live.QUESTIONS)
