"""Exceptions of the stack file: they hold until their day, for their policy and resource alone, and in sight."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from policies import tokens
from policies.exceptions import exceptions_of
from policies.judge import LONGEST_EXCEPTION_DAYS, Judgement
from policies.report import report
from policies.stack import Stack
from tests.policies.conftest import TODAY, Judge, fired
from tests.policies.edits import edited, put
from topology.settings import PolicyException

POLICY = "rds-retention-explicit"


def entry(until: date = TODAY, policy: str = POLICY, resource: str = "shard-0-us-west") -> PolicyException:
    return PolicyException(policy=policy, resource=resource, reason="restored from a snapshot, HAL-12", until=until)


@pytest.fixture
def short(prod: Stack) -> Stack:
    """Prod with one database whose backups are short."""
    return edited(prod, tokens.RDS, ["shard-0-us-west"], put(("backupRetentionPeriod",), 1))


def verdict(judgement: Judgement) -> tuple[int, int]:
    """Violations and exceptions of the policy that the tests excuse from."""
    found = next(v for v in judgement.verdicts if v.policy.name == POLICY)
    return len(found.violations), len(found.excused)


def test_an_exception_holds_to_the_end_of_its_day(short: Stack, judged: Judge) -> None:
    judgement = judged(short, (entry(),))
    assert verdict(judgement) == (0, 1)
    assert not judgement.stopped


def test_an_exception_that_has_ended_fails_and_says_so(short: Stack, judged: Judge) -> None:
    judgement = judged(short, (entry(TODAY - timedelta(days=1)),))
    assert judgement.stopped
    message = next(v for v in judgement.verdicts if v.policy.name == POLICY).messages[0]
    assert message.endswith("(its exception ended on 2030-01-14: restored from a snapshot, HAL-12)")


def test_an_exception_that_has_ended_fails_though_nothing_needs_it(prod: Stack, judged: Judge) -> None:
    judgement = judged(prod, (entry(TODAY - timedelta(days=1)),))
    assert judgement.stopped
    assert judgement.mistakes == (
        (
            "hal9:policyExceptions[0].until: 2030-01-14 is past; mend shard-0-us-west (restored from a "
            "snapshot, HAL-12) "
            "and take the entry out"
        ),
    )


def test_an_exception_excuses_no_other_resource(short: Stack, judged: Judge) -> None:
    assert verdict(judged(short, (entry(resource="shard-1-eu-central"),))) == (1, 0)


def test_an_exception_excuses_from_no_other_policy(short: Stack, judged: Judge) -> None:
    assert fired(judged(short, (entry(policy="rds-watched"),))) == {POLICY}


def test_an_exception_from_a_policy_that_is_not_there_fails(prod: Stack, judged: Judge) -> None:
    assert judged(prod, (entry(policy="rds-retention"),)).mistakes == (
        "hal9:policyExceptions[0].policy: rds-retention is no policy; `make policy` lists them",
    )


def test_an_exception_for_a_resource_that_is_not_there_fails(prod: Stack, judged: Judge) -> None:
    assert judged(prod, (entry(resource="shard-9-us-west"),)).mistakes == (
        "hal9:policyExceptions[0].resource: shard-9-us-west is no resource of this stack; take the entry out",
    )


def test_an_exception_cannot_be_for_ever(prod: Stack, judged: Judge) -> None:
    judgement = judged(prod, (entry(TODAY + timedelta(days=LONGEST_EXCEPTION_DAYS + 1)),))
    assert [m.partition(": ")[0] for m in judgement.mistakes] == ["hal9:policyExceptions[0].until"]


def test_an_exception_that_nothing_needs_is_shown(prod: Stack, judged: Judge) -> None:
    judgement = judged(prod, (entry(),))
    assert not judgement.stopped
    assert "  rds-retention-explicit: shard-0-us-west" in report(judgement).splitlines()


def test_what_is_excused_is_shown_with_its_reason_and_its_day(short: Stack, judged: Judge) -> None:
    text = " ".join(report(judged(short, (entry(),))).split())
    assert (
        "rds-retention-explicit: shard-0-us-west: backupRetentionPeriod is 1; until 2030-01-15: restored from a "
        "snapshot, HAL-12" in text
    )


def test_exceptions_are_read_from_the_stack_files_own_key() -> None:
    text = '[{"policy": "p", "resource": "r", "reason": "why", "until": "2030-01-31"}]'
    assert exceptions_of({"hal9:policyExceptions": text})[0].until == date(2030, 1, 31)
    assert exceptions_of({}) == ()
