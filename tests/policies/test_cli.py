"""`make policy`: what a person reads, JUnit and SARIF for CI, and an exit status that stops a deployment."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from plan.program import REPOSITORY
from policies import tokens
from policies.cli import main
from policies.document import AREAS
from policies.judge import LONGEST_EXCEPTION_DAYS
from policies.junit import junit
from policies.registry import POLICIES
from policies.report import report
from policies.sarif import sarif
from policies.stack import Stack
from tests.policies.conftest import TODAY, Judge
from tests.policies.edits import edited, put
from topology.settings import PolicyException


@pytest.fixture
def public(prod: Stack) -> Stack:
    """Prod with a public database."""
    return edited(prod, tokens.RDS, ["shard-0-us-west"], put(("publiclyAccessible",), True))


def test_a_stack_that_passes_ends_with_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--stack", "dev", "--junit", str(tmp_path / "policy.xml")]) == 0
    out = capsys.readouterr().out
    assert "dev passes" in out
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


def test_what_stops_the_deployment_is_told_first_with_its_reason_and_reference(prod: Stack, judged: Judge) -> None:
    broken = edited(prod, tokens.TOPIC, ["us-west-alarms"], put(("tags", "owner"), ""))
    broken = edited(broken, tokens.RDS, ["shard-0-us-west"], put(("publiclyAccessible",), True))
    lines = report(judged(broken)).splitlines()
    assert lines[0] == AREAS["data"]
    assert lines[1].startswith("  rds-private-encrypted-protected (mandatory): ")
    assert any(line.startswith("    reference: ") and "CKV_AWS_17" in line for line in lines[:5])
    advice = next(i for i, line in enumerate(lines) if line.startswith("  tags-owner-region (advisory)"))
    assert advice > 3


def test_a_row_counts_the_policies_of_an_area_and_those_that_failed_come_first(public: Stack, judged: Judge) -> None:
    lines = report(judged(public)).splitlines()
    head = next(i for i, line in enumerate(lines) if line.strip().startswith("area: policies"))
    assert lines[head + 1].split("  ")[1] == AREAS["data"]
    assert lines[head + 1].split()[-3:] == ["1", "-", "-"]
    assert "-" in lines[head + 2].split()


def test_v_tells_every_policy_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "prod", "-v"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for policy in POLICIES.values():
        assert f"{policy.prevents} ({policy.reference})" in text


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("verbose", [False, True])
def test_the_report_fits_the_terminal_but_for_words_that_are_longer(
    columns: int, verbose: bool, public: Stack, judged: Judge
) -> None:
    lines = report(judged(public), columns, verbose=verbose).splitlines()
    assert [line for line in lines if len(line) > columns and len(line.split()) > 1] == []
    if verbose:
        assert "mandatory, 11 passed, 1 violated" in " ".join(" ".join(lines).split())


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
    judgement = judged(broken)
    text = report(judgement) + junit(judgement) + sarif(judgement, REPOSITORY / "Pulumi.prod.yaml")
    assert "password is not marked as secret" in text
    assert "hunter2" not in text


def test_sarif_has_a_result_for_each_violation_at_the_line_of_the_key_to_change(public: Stack, judged: Judge) -> None:
    file = REPOSITORY / "Pulumi.prod.yaml"
    (run,) = json.loads(sarif(judged(public), file))["runs"]
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("rds-private-encrypted-protected", "error")
    rules = run["tool"]["driver"]["rules"]
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert len(rules) == len({rule["id"] for rule in rules}) == len(POLICIES) + 1
    where = result["locations"][0]["physicalLocation"]
    assert where["artifactLocation"]["uri"] == "Pulumi.prod.yaml"
    assert "hal9:protect" in file.read_text().splitlines()[where["region"]["startLine"] - 1]
    assert "publiclyAccessible is true" in result["message"]["text"]


def test_sarif_keeps_what_is_excused_as_suppressed_and_an_exception_that_ended_as_an_error(
    public: Stack, judged: Judge
) -> None:
    excuse = PolicyException(
        policy="rds-private-encrypted-protected", resource="shard-0-us-west", reason="why", until=TODAY
    )
    ended = excuse.model_copy(update={"until": TODAY + timedelta(days=LONGEST_EXCEPTION_DAYS + 1)})
    kept, told = json.loads(sarif(judged(public, (excuse, ended)), REPOSITORY / "Pulumi.prod.yaml"))["runs"][0][
        "results"
    ]
    assert kept["suppressions"][0]["kind"] == "external"
    assert (told["ruleId"], told["level"]) == ("exceptions-current", "error")


def test_the_same_violation_keeps_its_fingerprint_when_its_policys_words_change(public: Stack, judged: Judge) -> None:
    file = REPOSITORY / "Pulumi.prod.yaml"
    (result,) = json.loads(sarif(judged(public), file))["runs"][0]["results"]
    assert set(result["partialFingerprints"]) == {"violation/v1"}
    other = edited(public, tokens.RDS, ["shard-1-eu-central"], put(("publiclyAccessible",), True))
    prints = {
        one["partialFingerprints"]["violation/v1"]
        for one in json.loads(sarif(judged(other), file))["runs"][0]["results"]
    }
    assert len(prints) == 2
    assert result["partialFingerprints"]["violation/v1"] in prints


def test_sarif_goes_where_it_is_asked_to(tmp_path: Path) -> None:
    assert main(["--stack", "dev", "--sarif", str(tmp_path / "policy.sarif")]) == 0
    assert json.loads((tmp_path / "policy.sarif").read_text())["version"] == "2.1.0"
