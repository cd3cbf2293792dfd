"""The web ACL: what the edge refuses (control 19)."""

from __future__ import annotations

import functools
from typing import Any

import pulumi
import pytest

from components.firewall import Firewall
from components.region import aws_provider
from tests.components.mocked import Built, build
from tests.stackfiles import Edit, put, topology


def built(*edits: Edit, preview: bool = False) -> Built:
    def make() -> Any:
        parsed = topology("prod", *edits)
        opts = pulumi.ResourceOptions(providers=[aws_provider("edge", "us-east-1", parsed)])
        return Firewall(parsed, pulumi.Output.from_input("arn:Key:telemetry"), opts).arn

    return build(make, preview=preview)


@functools.cache
def firewall(preview: bool = False) -> Built:
    return built(preview=preview)


@functools.cache
def open_to_all() -> Built:
    return built(put("edge.blockedCountries", []), put("edge.addressLimitPerFiveMinutes", 1000))


def test_the_web_acl_refuses_countries_and_floods_and_what_is_known_to_be_bad() -> None:
    rules = {r["name"]: r for r in firewall().one("WebAcl").inputs["rules"]}
    assert rules["countries-not-served"]["statement"]["geoMatchStatement"]["countryCodes"] == ["CU", "IR", "KP", "SY"]
    limit = rules["limit-by-address"]["statement"]["rateBasedStatement"]
    assert (limit["limit"], limit["aggregateKeyType"]) == (30_000, "IP")
    assert {name for name in rules if name.startswith("AWSManaged")} == {
        "AWSManagedRulesAmazonIpReputationList",
        "AWSManagedRulesCommonRuleSet",
        "AWSManagedRulesKnownBadInputsRuleSet",
    }


def test_who_is_limited_is_answered_429() -> None:
    rules = {r["name"]: r for r in firewall().one("WebAcl").inputs["rules"]}
    assert rules["limit-by-address"]["action"]["block"]["customResponse"]["responseCode"] == 429


@pytest.mark.parametrize("found", [firewall, open_to_all])
def test_each_rule_has_a_priority_of_its_own(found: Any) -> None:
    priorities = [r["priority"] for r in found().one("WebAcl").inputs["rules"]]
    assert len(set(priorities)) == len(priorities)


def test_a_stack_that_blocks_no_country_has_no_rule_for_it() -> None:
    assert "countries-not-served" not in {r["name"] for r in open_to_all().one("WebAcl").inputs["rules"]}


def test_the_limit_is_the_stack_files() -> None:
    rules = {r["name"]: r for r in open_to_all().one("WebAcl").inputs["rules"]}
    assert rules["limit-by-address"]["statement"]["rateBasedStatement"]["limit"] == 1000


def test_the_web_acls_log_leaves_out_tokens_and_cookies() -> None:
    logging = firewall().one("WebAclLoggingConfiguration").inputs
    assert {f["singleHeader"]["name"] for f in logging["redactedFields"]} == {"authorization", "cookie"}
    assert firewall().one("LogGroup", "firewall").inputs["name"].startswith("aws-waf-logs-")
