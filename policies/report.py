"""A judgement for people, as a table by policy, and for CI, as JUnit XML."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from xml.etree import ElementTree

from policies.judge import Judgement, Verdict
from policies.policy import Level

WIDTH = 120


def report(judgement: Judgement, columns: int = WIDTH) -> str:
    """The whole text, lines of at most `columns` but for single words that are longer."""
    return "\n".join(line for long in _lines(judgement, columns) for line in _wrapped(long, columns))


def _lines(judgement: Judgement, columns: int) -> list[str]:
    """The text's lines, however long they are."""
    verdicts = judgement.verdicts
    width = max(len(verdict.policy.name) for verdict in verdicts)
    head = f"  {'policy':<{width}}  level      passed  violated  excused  at deployment"
    lines = [head, *(_row(verdict, width) for verdict in verdicts)]
    if len(head) > columns:
        lines = [_counts(verdict) for verdict in verdicts]
    if changed := [(v.policy.name, change) for v in verdicts for change in v.configured.changes]:
        lines += ["", f"Set for {judgement.stack}, other than the defaults", *(f"  {n}: {c}" for n, c in changed)]
    for verdict in verdicts:
        if verdict.violations:
            lines += ["", f"{verdict.policy.name} ({verdict.level}): {verdict.policy.prevents}"]
            lines += [f"  {message}" for message in verdict.messages]
    if excused := [(v.policy.name, found, e) for v in verdicts for found, e in v.excused]:
        lines += ["", "Excused"]
        for name, violation, exception in excused:
            subject = violation.resource.name if violation.resource else "the stack"
            lines.append(f"  {name}: {subject}: {violation.found}; until {exception.until}: {exception.reason}")
    if judgement.mistakes:
        lines += ["", "Exceptions that do not hold", *(f"  {mistake}" for mistake in judgement.mistakes)]
    if judgement.unused:
        lines += ["", "Exceptions that nothing needs any more; take them out"]
        lines += [f"  {e.policy}: {e.resource}" for e in judgement.unused]
    return [*lines, "", _summary(judgement)]


def _row(verdict: Verdict, width: int) -> str:
    counts = [verdict.passed, len(verdict.violations), len(verdict.excused), len(verdict.later)]
    shown = ["-"] * 4 if verdict.level is Level.DISABLED else [str(count or "-") for count in counts]
    cells = f"{shown[0]:>6}  {shown[1]:>8}  {shown[2]:>7}  {shown[3]:>13}"
    return f"  {verdict.policy.name:<{width}}  {verdict.level:<9}  {cells}"


def _counts(verdict: Verdict) -> str:
    """A row for a terminal that the table does not fit: the counts that are not nought, by name."""
    if verdict.level is Level.DISABLED:
        return f"  {verdict.policy.name}: {verdict.level}"
    counts = {
        "passed": verdict.passed, "violated": len(verdict.violations), "excused": len(verdict.excused),
        "at deployment": len(verdict.later),
    }  # fmt: skip
    told = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"  {verdict.policy.name}: {verdict.level}{', ' if told else ''}{told}"


def _wrapped(line: str, columns: int) -> list[str]:
    """A line as it is where it fits, else wrapped between words, below its own indent."""
    if len(line) <= columns:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(), columns, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _summary(judgement: Judgement) -> str:
    asked = [v for v in judgement.verdicts if v.level is not Level.DISABLED]
    counts = {level: sum(len(v.violations) for v in asked if v.level is level) for level in Level}
    verdict = "must not be deployed" if judgement.stopped else "may be deployed"
    return (
        f"{judgement.stack} {verdict}: {len(asked)} policies, {counts[Level.MANDATORY]} mandatory and "
        f"{counts[Level.ADVISORY]} advisory violations, {sum(len(v.excused) for v in asked)} excused"
    )


def junit(judgement: Judgement) -> str:
    """JUnit XML: a suite for each area, a case for each policy; a mandatory violation is a failure, an advisory one output."""
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
