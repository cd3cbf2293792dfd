"""What every policy must have: the ones that are asked for are there, and each says why and what to change."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from plan.program import REPOSITORY
from policies.policy import Level, Policy
from policies.registry import POLICIES
from topology.stackfile import fields_at
from topology.topology import Topology

STACK_POLICIES = """shard-primary-per-region shard-replica-every-other-region replica-source-is-primary
rds-subnets-not-public vpc-cidrs-disjoint peering-mesh-complete datastore-sg-source-restricted shards-reach-each-other
kms-key-region-matches-resource on-demand-floor region-capacity-n-minus-1 connection-budget global-datastore-parity
edge-covers-all-regions region-config-parity single-autoscaler-per-workload explicit-provider-region
three-azs-nat-per-az""".split()
RESOURCE_POLICIES = """rds-private-encrypted-protected rds-retention-explicit redis-tls-auth-multiaz
spot-pools-diversified eks-private-logged-encrypted listener-tls13 no-wildcard-iam no-world-ingress-except-80-443
namespace-pss-restricted image-digest no-plaintext-secret tags-owner-region""".split()


def test_every_policy_that_was_asked_for_is_there() -> None:
    assert {name for name in STACK_POLICIES if not POLICIES[name].of_stack} == set()
    assert {name for name in RESOURCE_POLICIES if POLICIES[name].of_stack} == set()


def test_policies_are_mandatory_but_for_the_two_that_were_asked_for_as_advice() -> None:
    assert {p.name for p in POLICIES.values() if p.level is not Level.MANDATORY} == {
        "three-azs-nat-per-az",
        "tags-owner-region",
    }


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_a_policy_says_what_it_prevents_by_whose_word_and_what_to_change(policy: Policy) -> None:
    assert len(policy.prevents) > 40
    assert policy.reference
    assert policy.fix


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_what_a_policy_tells_to_change_is_there(policy: Policy) -> None:
    named = re.findall(r"hal9:([A-Za-z.*\[\]]+[A-Za-z])", policy.fix)
    for key in named:
        *parents, last = key.replace("[]", ".0").split(".")
        place = tuple("us-west" if part == "*" and parents[0] == "regions" else part for part in parents)
        if "*" in place or last == "*":
            place, last = place[: place.index("*")] if "*" in place else place, ""
        place = tuple(0 if part == "0" else part for part in place)
        assert not last or last in fields_at(Topology, place), f"{key} is no key of a stack file"
    for path in re.findall(
        r"(?:components|policies)/[\w/.]+\w", policy.fix.replace("config.STACK.json", "config.prod.json")
    ):
        assert (REPOSITORY / path).exists(), f"{path} does not exist"
    assert named or "component" in policy.fix or "policies/" in policy.fix


def test_no_module_hides_one_of_pythons_own() -> None:
    """The engine starts the folder as a program, so that for a moment its files are top-level modules."""
    files = {path.stem for path in Path(sys.modules["policies"].__path__[0]).glob("*.py")}
    assert not files & sys.stdlib_module_names
