"""The documents are what the code says."""

from __future__ import annotations

from plan.program import REPOSITORY
from policies.checkov import ANSWERS, Check, document, problems
from policies.document import AREAS
from policies.document import document as policies_document
from policies.registry import POLICIES


def test_the_document_of_the_policies_is_up_to_date() -> None:
    assert (REPOSITORY / "docs" / "policies.md").read_text() == policies_document(), "make policies-doc writes it"


def test_every_area_has_its_part_of_the_document() -> None:
    assert {policy.area for policy in POLICIES.values()} == AREAS.keys()


def test_what_answers_a_finding_of_checkov_is_a_policy() -> None:
    assert {a.policy for a in ANSWERS.values() if a.policy} <= POLICIES.keys()


def test_the_comparison_has_every_answer() -> None:
    text = (REPOSITORY / "docs" / "checkov.md").read_text()
    assert {name for name, answer in ANSWERS.items() if f"| {name} |" not in text or answer.reason not in text} == set()


def test_a_finding_without_an_answer_is_a_problem() -> None:
    found = [Check("CKV_AWS_0", "something", 3, 1), *(Check(name, "x", 0, 1) for name in ANSWERS)]
    assert list(problems(found)) == ["CKV_AWS_0 (something) fails 1 resources and has no answer in policies/checkov.py"]


def test_an_answer_without_a_finding_is_a_problem() -> None:
    name, *others = ANSWERS
    assert list(problems([Check(name, "x", 5, 0), *(Check(other, "x", 0, 1) for other in others)])) == [
        f"{name} fails nothing any more; take its answer out of policies/checkov.py"
    ]


def test_the_comparison_tells_what_passes_from_what_is_answered() -> None:
    lines = document([Check("CKV_AWS_305", "root", 0, 1), Check("CKV_AWS_7", "rotation", 16, 0)], "3").splitlines()
    assert "| CKV_AWS_7 | rotation |" in lines
    assert any(line.startswith("| CKV_AWS_305 | root | nobody | decided") for line in lines)
