"""What a preflight finds: a resource, a fact that it runs into, the fact's source, and what to write instead."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 120


@dataclass(frozen=True, order=True)
class Finding:
    """`check` is the question that found it; `resource` its logical name and type, or the setting that it is about."""

    check: str
    resource: str
    fact: str
    source: str
    instead: str

    def lines(self) -> list[str]:
        """As an operator reads it."""
        text = f"{self.resource}: {self.fact} ({self.source}). Instead: {self.instead}"
        return textwrap.wrap(
            text, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
        )


def report(findings: Sequence[Finding], asked: Sequence[str]) -> str:
    """A line for each question with how often it found something, then the findings."""
    width = max(map(len, asked))
    lines = [f"  {'question':<{width}}  findings"]
    for check in asked:
        count = sum(finding.check == check for finding in findings)
        lines.append(f"  {check:<{width}}  {count or '-'}")
    for check in asked:
        if mine := sorted(finding for finding in findings if finding.check == check):
            lines += ["", check, *(line for finding in mine for line in finding.lines())]
    return "\n".join(lines)
