"""`make policy`: a table, JUnit for CI, and an exit status that stops a deployment."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from plan.program import REPOSITORY
from policies import tokens
from policies.cli import main
from policies.registry import POLICIES
from policies.report import junit, report
from policies.stack import Stack
from tests.policies.conftest import Judge
from tests.policies.edits import edited, put


@pytest.fixture
def public(prod: Stack) -> Stack:
    """Prod with a public database."""
    return edited(prod, tokens.RDS, ["shard-0-us-west"], put(("publiclyAccessible",), True))


def test_a_stack_that_passes_ends_with_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--stack", "dev", "--junit", str(tmp_path / "policy.xml")]) == 0
    out = capsys.readouterr().out
    assert "dev may be deployed" in out
    assert ElementTree.parse(tmp_path / "policy.xml").getroot().tag == "testsuites"


def test_a_mandatory_violation_ends_with_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    settings = json.loads((REPOSITORY / "policies" / "config.dev.json").read_text())
    path = tmp_path / "settings.json"
    stricter = {"enforcementLevel": "mandatory", "days": 30}
    path.write_text(json.dumps({**settings, "rds-retention-explicit": stricter}))
    assert main(["--stack", "dev", "--settings", str(path)]) == 1
    assert "rds-retention-explicit (mandatory)" in capsys.readouterr().out


def test_an_advisory_violation_ends_with_0(tmp_path: Path) -> None:
    settings = json.loads((REPOSITORY / "policies" / "config.dev.json").read_text())
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({**settings, "rds-retention-explicit": "advisory"}))
    assert main(["--stack", "dev", "--settings", str(path)]) == 0


def test_a_stack_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "nowhere"]) == 1
    assert "There is no stack 'nowhere'" in capsys.readouterr().err


def test_a_message_says_resource_value_wanted_and_fix(public: Stack, judged: Judge) -> None:
    text = " ".join(report(judged(public)).split())
    assert (
        "shard-0-us-west (aws:rds/instance:Instance): publiclyAccessible is true; wanted publiclyAccessible false. "
        "Fix: hal9:protect; the rest is components/database.py's" in text
    )
    assert (
        f"prod must not be deployed: {len(POLICIES)} policies, 1 mandatory and 0 advisory violations, 0 excused" in text
    )


def test_a_row_counts_what_passed_and_what_did_not(public: Stack, judged: Judge) -> None:
    row = next(line for line in report(judged(public)).splitlines() if "rds-private-encrypted" in line)
    assert row.split() == ["rds-private-encrypted-protected", "mandatory", "11", "1", "-", "-"]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_report_fits_the_terminal_but_for_words_that_are_longer(columns: int, public: Stack, judged: Judge) -> None:
    lines = report(judged(public), columns).splitlines()
    assert [line for line in lines if len(line) > columns and len(line.split()) > 1] == []
    assert "mandatory, 11 passed, 1 violated" in " ".join(" ".join(lines).split()) or columns == 120


def test_junit_has_a_failure_for_a_mandatory_violation_alone(public: Stack, judged: Judge) -> None:
    root = ElementTree.fromstring(junit(judged(public)))
    failures = [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None]
    assert failures == ["rds-private-encrypted-protected"]
    assert sum(int(suite.get("tests", 0)) for suite in root) == len(POLICIES)


def test_junit_skips_what_is_disabled(prod: Stack, judged: Judge) -> None:
    root = ElementTree.fromstring(junit(judged(prod, settings="dev")))
    skipped = {case.get("name") for case in root.iter("testcase") if case.find("skipped") is not None}
    assert skipped == {"rds-multi-az", "region-capacity-n-minus-1", "stateful-protected", "session-stores-protected"}


def test_a_secret_that_is_not_marked_is_named_and_not_shown(prod: Stack, judged: Judge) -> None:
    broken = edited(prod, tokens.RDS, ["shard-0-us-west"], put(("password",), "hunter2"))
    text = report(judged(broken)) + junit(judged(broken))
    assert "password is not marked as secret" in text
    assert "hunter2" not in text
