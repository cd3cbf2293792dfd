"""What is said of prod changed into each of some hundred
others: refused with its reason, or a step and what it does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from diff.comparison import EMPTY, SESSIONS
from diff.report import text
from diff.verdict import Verdict, verdict
from plan import run
from plan.project import read_project
from tests.conftest import PlanOf
from tests.stackfiles import ROOT, topology
from tests.topology.test_cases import VARIANTS, cases_of, stack_file
from topology.load import of_config
from topology.steps import refusals
from topology.topology import Topology

NOW = datetime(2030, 1, 31, tzinfo=UTC)
PAIRS = cases_of(Path(__file__).with_name("pairs.yaml"))


def wanted(case: str) -> tuple[dict[str, Any], Topology]:
    """The stack file that prod is changed into, and its topology."""
    content = stack_file(PAIRS[case].get("set") or VARIANTS[case]["set"])
    project = read_project(ROOT, "prod", content)
    return content, of_config("prod", project.config, project.secret_keys)


def told(case: str, plan_of: PlanOf) -> Verdict:
    content, after = wanted(case)
    return verdict("prod", (topology("prod"), plan_of("prod")), (after, run("prod", stack_file=content)), [], NOW)


def test_every_variant_that_is_taken_has_its_pair() -> None:
    assert {name for name, case in VARIANTS.items() if "names" not in case} <= PAIRS.keys()


@pytest.mark.parametrize("case", PAIRS)
def test_an_edit_is_refused_where_it_was_written_or_not_at_all(case: str) -> None:
    found = refusals(topology("prod"), wanted(case)[1], NOW)
    assert sorted(one.path for one in found) == sorted(PAIRS[case]["refused"])
    assert all(one.what and one.way for one in found)


HARM = (
    "the rows of its shard",
    EMPTY,
    "everything encrypted with it",
    SESSIONS,
    "the key's bytes",
    "the delegation of",
)
ASKED = [name for name, pair in PAIRS.items() if "says" in pair or "nothing" in pair]
"""Of which the plans are compared too, at three seconds each."""
AT_ONCE = ("00-prod", "03-renamed-region", "15-protect-false", "24-engine-17", "slots-moved-with-a-receipt")
"""Those of them that `make test` asks: one that changes nothing, a loss, a switch, an update, a move."""


@pytest.mark.parametrize(
    "case", [case if case in AT_ONCE else pytest.param(case, marks=pytest.mark.long) for case in ASKED]
)
def test_the_report_says_what_becomes_of_what_stands(case: str, plan_of: PlanOf) -> None:
    found = told(case, plan_of)
    said = " ".join(text(found).split())
    assert [line for line in PAIRS[case].get("says", []) if line not in said] == []
    if not PAIRS[case]["refused"]:
        assert [one for one in HARM if one in said] == [], "a step loses what no step may lose"
    if PAIRS[case].get("nothing"):
        assert (found.comparison.changes, found.users, found.document) == ((), (), ())
