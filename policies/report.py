"""A judgement for people: what failed first, with why and by whose word; three lines where nothing did."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from policies.document import AREAS
from policies.judge import Judgement, Verdict
from policies.policy import Level

WIDTH = 120
_CELLS = ("passed", "violated", "excused", "at deployment")


def report(judgement: Judgement, columns: int = WIDTH, *, verbose: bool = False) -> str:
    """The whole text, lines of at most `columns` but for single words that are longer.

    What stops the deployment comes first, then advice, then a row for each area. Where nothing is wrong there is the
    verdict, and what is set for the stack. `verbose` adds every policy with why it is there, and every setting.
    """
    lines = [*_failed(judgement), *_exceptions(judgement)]
    if verbose:
        lines += [*_policies(judgement), *_settings(judgement)]
    elif lines:
        lines += _areas(judgement, columns)
    if lines:
        lines.append("")
    lines.append(_summary(judgement))
    lines += _left(judgement, verbose)
    if not verbose and (changed := [v.policy.name for v in judgement.verdicts if v.configured.changes]):
        lines.append(f"Set for {judgement.stack}, other than the defaults (-v: how): {', '.join(changed)}")
    return "\n".join(line for long in lines for line in _wrapped(long, columns))


def _failed(judgement: Judgement) -> Iterator[str]:
    """What is violated, under its area: what stops the deployment before advice."""
    for level in (Level.MANDATORY, Level.ADVISORY):
        failed = [v for v in judgement.verdicts if v.level is level and v.violations]
        for area, title in AREAS.items():
            found = [verdict for verdict in failed if verdict.policy.area == area]
            if found:
                yield title
            for verdict in found:
                yield f"  {verdict.policy.name} ({verdict.level}): {verdict.policy.prevents}"
                yield f"    reference: {verdict.policy.reference}"
                yield from (f"    {message}" for message in verdict.messages)
    if judgement.mistakes:
        yield "Exceptions that do not hold"
        yield from (f"  {mistake}" for mistake in judgement.mistakes)


def _exceptions(judgement: Judgement) -> Iterator[str]:
    """What is excused, and what need not be."""
    if excused := [(v.policy.name, found, e) for v in judgement.verdicts for found, e in v.excused]:
        yield "Excused"
        for name, violation, exception in excused:
            subject = violation.resource.name if violation.resource else "the stack"
            yield f"  {name}: {subject}: {violation.found}; until {exception.until}: {exception.reason}"
    if judgement.unused:
        yield "Exceptions that nothing needs any more; take them out"
        yield from (f"  {e.policy}: {e.resource}" for e in judgement.unused)


def _areas(judgement: Judgement, columns: int) -> Iterator[str]:
    """A row for each area, those with violations first."""
    rows = []
    for area, title in AREAS.items():
        verdicts = [v for v in judgement.verdicts if v.policy.area == area and v.level is not Level.DISABLED]
        counts = (
            sum(not v.violations for v in verdicts),
            sum(bool(v.violations) for v in verdicts),
            sum(len(v.excused) for v in verdicts),
            sum(bool(v.later) for v in verdicts),
        )
        rows.append((title, counts))
    rows.sort(key=lambda row: not row[1][1])
    width = max(len(title) for title, _ in rows)
    head = f"  {'area: policies':<{width}}  passed  violated  excused  at deployment"
    yield ""
    if len(head) > columns:
        yield from (f"  {title}: {_told(counts)}" for title, counts in rows)
        return
    yield head
    for title, counts in rows:
        shown = [str(count or "-") for count in counts]
        yield f"  {title:<{width}}  {shown[0]:>6}  {shown[1]:>8}  {shown[2]:>7}  {shown[3]:>13}"


def _policies(judgement: Judgement) -> Iterator[str]:
    """Every policy under its area: what it saw, why it is there, and by whose word."""
    for area, title in AREAS.items():
        yield ""
        yield title
        for verdict in (v for v in judgement.verdicts if v.policy.area == area):
            yield f"  {verdict.policy.name}: {_counts(verdict)}"
            yield f"    {verdict.policy.prevents} ({verdict.policy.reference})"


def _settings(judgement: Judgement) -> Iterator[str]:
    """What the stack's file sets otherwise than the policies do."""
    if changed := [(v.policy.name, change) for v in judgement.verdicts for change in v.configured.changes]:
        yield ""
        yield f"Set for {judgement.stack}, other than the defaults"
        yield from (f"  {name}: {change}" for name, change in changed)


def _counts(verdict: Verdict) -> str:
    """A policy's level and its counts of resources that are not nought, by name."""
    if verdict.level is Level.DISABLED:
        return str(verdict.level)
    told = _told((verdict.passed, len(verdict.violations), len(verdict.excused), len(verdict.later)))
    return f"{verdict.level}{', ' if told else ''}{told}"


def _told(counts: tuple[int, ...]) -> str:
    return ", ".join(f"{count} {name}" for count, name in zip(counts, _CELLS, strict=True) if count)


def _wrapped(line: str, columns: int) -> list[str]:
    """A line as it is where it fits, else wrapped between words, below its own indent."""
    if len(line) <= columns:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(
        line.strip(),
        columns,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _left(judgement: Judgement, verbose: bool) -> Iterator[str]:
    """What must be replaced before a deployment: its keys, or the whole messages."""
    messages = [message for verdict in judgement.verdicts for _, message in verdict.left]
    if not messages:
        return
    keys = ", ".join(
        violation.found.split(" is ")[0] for verdict in judgement.verdicts for violation, _ in verdict.left
    )
    yield (
        "Not to be deployed yet: examples are left, and `pulumi up` with the policies (here DEPLOY=1) "
        f"refuses them: {keys}"
    )
    if verbose:
        yield from (f"  {message}" for message in messages)


def _summary(judgement: Judgement) -> str:
    asked = [v for v in judgement.verdicts if v.level is not Level.DISABLED]
    counts = {level: sum(len(v.violations) for v in asked if v.level is level) for level in Level}
    left = any(v.left for v in asked)
    verdict = "must not be deployed" if judgement.stopped else "passes" if left else "may be deployed"
    later = sum(len(v.later) for v in asked)
    waiting = f", {later} answers left to `pulumi up`" if later else ""
    if not judgement.stopped and not any(counts.values()) and not any(v.excused for v in asked):
        return f"{judgement.stack} {verdict}: {len(asked)} policies pass{waiting}"
    return (
        f"{judgement.stack} {verdict}: {len(asked)} policies, {counts[Level.MANDATORY]} mandatory and "
        f"{counts[Level.ADVISORY]} advisory violations, {sum(len(v.excused) for v in asked)} excused"
        f"{waiting}"
    )
