"""`steps-allowed`: an edit that loses something is refused beside the plan, where what stands is known."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from policies.cli import main
from policies.stack import Stack
from tests.policies.conftest import Judge, fired
from tests.stackfiles import ROOT, edited, put
from topology.load import parse
from topology.steps import Edit

NOW = datetime(2030, 1, 15, tzinfo=UTC)
REASON = put("accepted", [{"stack": "prod", "path": "domain", "reason": "the brand has a new name, HAL-88"}])


def test_an_edit_that_is_no_step_is_refused_with_its_way(prod: Stack, judged: Judge) -> None:
    edit = Edit(parse("prod", edited("prod", put("domain", "hal9.example"))), parse("prod", edited("prod")), NOW)
    judgement = judged(Stack(prod.resources, prod.config, edit))
    assert fired(judgement) == {"steps-allowed"}
    (verdict,) = [one for one in judgement.verdicts if one.violations]
    assert verdict.messages[0].startswith("the stack: hal9:domain: hal9.example becomes hal9.ai: ")
    assert "docs/runbooks/change.md, A new domain" in verdict.messages[0]


def test_an_edit_with_a_reason_passes(prod: Stack, judged: Judge) -> None:
    before = parse("prod", edited("prod", put("domain", "hal9.example")))
    edit = Edit(before, parse("prod", edited("prod", REASON)), NOW)
    assert fired(judged(Stack(prod.resources, prod.config, edit))) == set()


def test_a_plan_alone_is_no_edit(prod: Stack, judged: Judge) -> None:
    assert fired(judged(prod)) == set()


def test_the_command_asks_it_of_what_stands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    standing, text = tmp_path / "standing.yaml", (ROOT / "Pulumi.dev.yaml").read_text()
    standing.write_text(text)
    assert main(["--stack", "dev", "--base", str(standing)]) == 0
    assert "\n  hal9:domain: dev.hal9.ai\n" in text
    standing.write_text(text.replace("\n  hal9:domain: dev.hal9.ai\n", "\n  hal9:domain: hal9.example\n"))
    capsys.readouterr()
    assert main(["--stack", "dev", "--base", str(standing)]) == 1
    assert "hal9:domain: hal9.example becomes" in " ".join(capsys.readouterr().out.split())


def test_a_base_that_is_none_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--stack", "dev", "--base", "no-such-thing"]) == 1
    assert capsys.readouterr().err == "'no-such-thing' is neither a file nor a git revision of this repository\n"
