"""What becomes of the weakest values in prod's plan: which policies fire, as the table docs/weakest.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from policies import configuration
from policies.expect import shown
from policies.judge import judge
from policies.policy import Level
from policies.registry import POLICIES
from policies.rules.charts import RELEASE
from policies.rules.fields import PODS, pod_fields
from policies.stack import Stack
from policies.tokens import WORKLOADS
from policies.weakest import GONE, WEAKENINGS, Weakening

HEAD = """# The weakest values, and what catches them

Written by `make policies-doc`; a test fails where it is out of date. For each type of prod's plan, the weakest value
of each field that a reference names is put into one resource, and every policy is asked. What is let through has its
reason.

"""


@dataclass(frozen=True)
class Outcome:
    """A weakening, and the mandatory policies that it makes fire."""

    weakening: Weakening
    policies: tuple[str, ...]

    @property
    def escapes(self) -> bool:
        """Whether nothing fires, for no reason that is written down."""
        return not self.policies and not self.weakening.harmless


def outcomes(prod: Stack) -> Iterator[Outcome]:
    """Each weakening of prod's plan, judged. ValueError where the plan has no place for one."""
    configured = configuration.read(configuration.file_of("prod"), POLICIES)
    for weakening in WEAKENINGS:
        weak = weakening.of(prod)
        if weak is None:
            raise ValueError(f"{weakening.type} {weakening.path}: the plan has no such place")
        verdicts = judge("prod", weak, configured, (), date(2030, 1, 1)).verdicts
        fired = (v.policy.name for v in verdicts if v.violations and v.level is Level.MANDATORY)
        yield Outcome(weakening, tuple(fired))


def document(found: Iterable[Outcome]) -> str:
    """The table, type by type."""
    lines, token = [], ""
    told = list(found)
    caught = sum(bool(outcome.policies) for outcome in told)
    summary = (
        f"{len(told)} weakenings of {len({o.weakening.type for o in told})} types: {caught} "
        f"caught, {len(told) - caught} let through."
    )
    for outcome in told:
        row = outcome.weakening
        if row.type != token:
            token = row.type
            lines += ["", f"## {token}", "", "| field | weakest | reference | caught by |", "|---|---|---|---|"]
        value = (
            GONE
            if row.value == GONE
            else f"`{shown(row.value) if row.value not in ([], {}) else row.value}`".replace("|", "\\|")
        )
        by = ", ".join(outcome.policies) or (
            "nothing, for no reason" if outcome.escapes else f"let through: {row.harmless}"
        )
        lines.append(f"| {row.path.replace('/', '.').replace('~', '/')} | {value} | {row.reference} | {by} |")
    return HEAD + "\n".join([summary, *lines, ""])


def arguments(stacks: Iterable[Stack]) -> str:
    """The arguments that the program sets, by type, and the fields of its pods, as the JSON that fields-known reads."""
    known: dict[str, set[str]] = {place: set() for place in PODS}
    for stack in stacks:
        for resource in stack.resources:
            if resource.type in WORKLOADS:
                for place, _, value in pod_fields(resource):
                    known[place] |= set(value) if isinstance(value, dict) else set()
            elif resource.custom and (resource.package in ("aws", "tls", "random") or resource.type == RELEASE):
                known.setdefault(resource.type, set()).update(resource.inputs)
    return json.dumps({key: sorted(names) for key, names in sorted(known.items())}, indent=1) + "\n"
