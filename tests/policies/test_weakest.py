"""The weakest value of each field that a reference names is
caught, or let through for a reason that is written down.
"""

from __future__ import annotations

import pytest

from plan.program import REPOSITORY
from policies import caught, tokens
from policies.caught import Outcome
from policies.rules import fields
from policies.stack import Stack
from policies.weakest import GONE, WEAKENINGS
from tests.policies.conftest import Judge, StackOf, fired
from tests.policies.edits import Path, edited, put


@pytest.fixture(scope="module")
def outcomes(stack_of: StackOf) -> list[Outcome]:
    """Every weakening of prod's plan, judged once."""
    return list(caught.outcomes(stack_of("prod")))


@pytest.mark.long
def test_no_weakening_escapes_without_a_reason(outcomes: list[Outcome]) -> None:
    assert [(o.weakening.type, o.weakening.path, o.weakening.value) for o in outcomes if o.escapes] == []


@pytest.mark.long
def test_a_reason_is_given_only_where_nothing_fires(outcomes: list[Outcome]) -> None:
    assert [o.weakening.path for o in outcomes if o.policies and o.weakening.harmless] == []


@pytest.mark.long
def test_the_document_of_the_weakest_values_is_up_to_date(outcomes: list[Outcome]) -> None:
    assert (REPOSITORY / "docs" / "weakest.md").read_text("utf-8") == caught.document(outcomes), (
        "make policies-doc writes it"
    )


def test_the_known_arguments_are_those_that_the_program_sets(stack_of: StackOf) -> None:
    assert fields.ARGUMENTS.read_text("utf-8") == caught.arguments(map(stack_of, ("dev", "prod"))), (
        "make policies-doc writes it"
    )


def test_no_row_is_there_twice() -> None:
    rows = [(row.type, row.path, str(row.value), row.name) for row in WEAKENINGS]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize(
    ("token", "name", "path", "value", "policy"),
    [
        (tokens.VPC, "us-west", ("instanceTenancy",), "dedicated", "fields-known"),
        (tokens.RDS, "shard-0-us-west", ("domain",), "d-1", "fields-known"),
        (
            tokens.DEPLOYMENT,
            "us-west-deployment-hal9-hal9-server",
            ("spec", "template", "spec", "hostname"),
            "x",
            "fields-known",
        ),
        (tokens.VPC, "us-west", ("enableDnsSupport",), False, "fields-as-decided"),
        (
            "aws:sns/topicSubscription:TopicSubscription",
            "us-west-alarms-email",
            ("endpoint",),
            "x@elsewhere.eu",
            "wired-within-stack",
        ),
    ],
)
def test_a_field_that_nobody_looked_at_fires_its_policy_alone(
    token: str, name: str, path: Path, value: object, policy: str, prod: Stack, judged: Judge
) -> None:
    assert fired(judged(edited(prod, token, [name], put(path, value)))) == {policy}


def test_what_is_taken_out_is_told_as_such(outcomes: list[Outcome]) -> None:
    assert any(outcome.weakening.value == GONE and outcome.policies for outcome in outcomes)
    assert GONE in caught.document(outcomes)
