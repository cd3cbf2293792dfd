"""Each policy, broken on prod's own plan: it fires, and no other does."""

from __future__ import annotations

from typing import Any

import pytest

from plan.values import Unknown
from policies import tokens
from policies.registry import POLICIES
from policies.rules import fields as single_fields
from policies.rules import steps
from policies.stack import Stack
from tests.conftest import PlanOf
from tests.policies.conftest import Judge, StackOf, fired
from tests.policies.edits import ABSENT, Change, edited, fields, find, gone, put, sources
from tests.policies.escapes import ESCAPES, Escape
from tests.policies.mutations import MUTATIONS, Mutation

WIRING: dict[str, tuple[str, str, Any]] = {
    "rds-subnets-not-public": (
        tokens.ROUTE_TABLE_ASSOCIATION,
        "us-west-data-us-west-2a",
        lambda stack: sources("routeTableId", find(stack, tokens.ROUTE_TABLE, "us-west-public").urn),
    ),
    "shard-replica-every-other-region": (tokens.RDS, "shard-0-eu-central", lambda _: gone),
    "kms-key-region-matches-resource": (
        tokens.REDIS,
        "us-west-cache",
        lambda stack: sources("kmsKeyId", find(stack, tokens.KEY, "eu-central-redis").urn),
    ),
    "secrets-in-every-region": (tokens.SECRET, "session-key-k1-in-us-west", lambda _: gone),
    "edge-requests-logged": (tokens.LOG_SOURCE, "edge", lambda _: gone),
    "pod-identity-per-workload": (
        tokens.POD_IDENTITY,
        "us-west-gateway",
        lambda stack: sources("roleArn", find(stack, tokens.ROLE, "us-west-server").urn),
    ),
    "stateful-protected": (tokens.VPC, "us-west", lambda _: fields(protect=False)),
    "explicit-provider-region": (tokens.TOPIC, "us-west-alarms", lambda _: fields(provider="")),
}
"""Broken by what a resource is made from, or by its absence, rather than by an input."""


def _third_shard_at_home_of_the_first(data: dict[str, Any]) -> None:
    data["config"]["hal9:shards"][2]["home"] = data["config"]["hal9:shards"][0]["home"]


def _one_zone_databases(data: dict[str, Any]) -> None:
    data["config"]["hal9:database"]["multiAz"] = False


STACK_FILES = {
    "shard-primary-per-region": _third_shard_at_home_of_the_first,
    "rds-multi-az": _one_zone_databases,
}
"""Broken by the stack file: one setting moves several inputs, and any of them alone would break more."""


WIRING_ALSO = {"rds-subnets-not-public": {"data-routes-stay-inside"}}
"""What fires with a wrong source: a public route table is no data tier's either."""


def _expected(mutation: Mutation, said: frozenset[str] | None) -> set[str]:
    return set(said) if said is not None else {mutation.policy} | mutation.also


def test_every_policy_has_a_way_to_be_broken() -> None:
    elsewhere = {policy.name for policy in POLICIES.values() if policy.at_deployment}  # test_examples.py
    elsewhere |= {policy.name for policy in single_fields.POLICIES}  # test_weakest.py
    elsewhere |= {policy.name for policy in steps.POLICIES}  # test_steps.py
    told = (
        elsewhere
        | {m.policy for m in MUTATIONS}
        | WIRING.keys()
        | STACK_FILES.keys()
        | {escape.policy for escape in ESCAPES}
    )
    assert told == POLICIES.keys()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.policy)
def test_a_wrong_value_makes_exactly_its_policy_fire(mutation: Mutation, prod: Stack, judged: Judge) -> None:
    broken = edited(prod, mutation.type, mutation.names, put(mutation.path, mutation.wrong))
    assert fired(judged(broken)) == {mutation.policy} | mutation.also


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.policy)
def test_an_unknown_value_is_not_taken_for_a_good_one(mutation: Mutation, prod: Stack, judged: Judge) -> None:
    broken = edited(prod, mutation.type, mutation.names, put(mutation.path, Unknown()))
    assert fired(judged(broken)) == _expected(mutation, mutation.unknown)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.policy)
def test_an_absent_value_is_judged_by_what_its_absence_means(mutation: Mutation, prod: Stack, judged: Judge) -> None:
    broken = edited(prod, mutation.type, mutation.names, put(mutation.path, ABSENT))
    assert fired(judged(broken)) == _expected(mutation, mutation.absent)


@pytest.mark.parametrize("policy", WIRING)
def test_a_wrong_source_makes_exactly_its_policy_fire(policy: str, prod: Stack, judged: Judge) -> None:
    token, name, make = WIRING[policy]
    change: Change = make(prod)
    assert fired(judged(edited(prod, token, [name], change))) == {policy} | WIRING_ALSO.get(policy, set())


@pytest.mark.parametrize("policy", STACK_FILES)
def test_a_wrong_setting_makes_exactly_its_policy_fire(
    policy: str, plan_of: PlanOf, prod: Stack, judged: Judge
) -> None:
    assert fired(judged(Stack(plan_of("prod", STACK_FILES[policy]).resources, prod.config))) == {policy}


@pytest.mark.parametrize("escape", ESCAPES, ids=lambda escape: escape.what)
def test_what_once_escaped_is_caught(escape: Escape, prod: Stack, judged: Judge) -> None:
    assert escape.policy in fired(judged(edited(prod, escape.type, [escape.name], escape.change)))


@pytest.mark.parametrize("stack", ["prod", "dev"])
def test_both_stacks_pass_with_every_policy(stack: str, stack_of: StackOf, judged: Judge) -> None:
    judgement = judged(stack_of(stack), settings=stack)
    assert not judgement.stopped
    assert fired(judgement) == set()


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_is_vacuous_in_prod(policy: str, prod: Stack) -> None:
    assert POLICIES[policy].subjects(prod)
