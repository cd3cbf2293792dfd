"""A judgement for CI, as JUnit XML."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from policies.judge import Judgement, Verdict
from policies.policy import Level


def junit(judgement: Judgement) -> str:
    """JUnit XML: a suite for each area, a case for each policy; a
    mandatory violation is a failure, an advisory one output.
    """
    root = ElementTree.Element("testsuites", name=f"policies {judgement.stack}")
    areas = dict.fromkeys(verdict.policy.area for verdict in judgement.verdicts)
    for area in areas:
        cases = [verdict for verdict in judgement.verdicts if verdict.policy.area == area]
        suite = ElementTree.SubElement(root, "testsuite", name=area, tests=str(len(cases)))
        suite.set("failures", str(sum(_fails(verdict) for verdict in cases)))
        suite.set("skipped", str(sum(verdict.level is Level.DISABLED for verdict in cases)))
        for verdict in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=f"policies.{area}", name=verdict.policy.name)
            for kind, text in _outcome(verdict):
                outcome = ElementTree.SubElement(case, kind)
                outcome.text = "\n".join(text)
                if kind != "system-out":
                    outcome.set("message", text[0])
    if judgement.mistakes:
        suite = ElementTree.SubElement(root, "testsuite", name="exceptions", tests="1", failures="1")
        case = ElementTree.SubElement(suite, "testcase", classname="policies", name="exceptions")
        failure = ElementTree.SubElement(case, "failure", message=judgement.mistakes[0])
        failure.text = "\n".join(judgement.mistakes)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _fails(verdict: Verdict) -> bool:
    return bool(verdict.violations) and verdict.level is Level.MANDATORY


def _outcome(verdict: Verdict) -> Iterator[tuple[str, list[str]]]:
    if verdict.level is Level.DISABLED:
        yield "skipped", ["; ".join(verdict.configured.changes)]
    elif verdict.violations:
        yield ("failure" if _fails(verdict) else "system-out"), verdict.messages
