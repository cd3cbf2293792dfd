"""Asks every policy of a stack, and sorts what they find: violated, excused, or to be judged at the deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from plan.record import Resource
from policies import exceptions as excuses
from policies.configuration import Configured
from policies.policy import Finding, Later, Level, Policy, Violation
from policies.stack import Stack
from topology.settings import PolicyException

LONGEST_EXCEPTION_DAYS = 180
"""How far ahead an exception may end."""


@dataclass(frozen=True)
class Verdict:
    """What one policy says of a stack. `seen` are the resources that
    it is about; `excused` has the exception beside each.
    """

    configured: Configured
    seen: tuple[Resource, ...]
    violations: tuple[tuple[Violation, str], ...] = ()
    excused: tuple[tuple[Violation, PolicyException], ...] = ()
    later: tuple[Later, ...] = ()
    left: tuple[tuple[Violation, str], ...] = ()
    """What stops a deployment, in a plan that nobody is about to deploy."""

    @property
    def policy(self) -> Policy:
        """The policy."""
        return self.configured.policy

    @property
    def level(self) -> Level:
        """What its violations do."""
        return self.configured.level

    @property
    def passed(self) -> int:
        """How many of the seen resources have nothing found against them."""
        findings: list[Finding] = [v for v, _ in self.violations]
        findings += [v for v, _ in self.excused]
        found = {f.resource.urn for f in [*findings, *self.later] if f.resource}
        return sum(resource.urn not in found for resource in self.seen)

    @property
    def messages(self) -> list[str]:
        """A message for each violation."""
        return [message for _, message in self.violations]


@dataclass(frozen=True)
class Judgement:
    """What all policies say of a stack, and what is wrong with its exceptions."""

    stack: str
    verdicts: tuple[Verdict, ...]
    mistakes: tuple[str, ...] = ()
    unused: tuple[PolicyException, ...] = field(default=())

    @property
    def stopped(self) -> bool:
        """Whether the stack must not be deployed."""
        return bool(self.mistakes) or any(v.violations and v.level is Level.MANDATORY for v in self.verdicts)


def findings(
    found: Iterator[Finding], configured: Configured, exceptions: tuple[PolicyException, ...], today: date
) -> Iterator[tuple[Finding, str, PolicyException | None]]:
    """Each finding with its message and the exception that holds for it, if one does."""
    for finding in found:
        if isinstance(finding, Later):
            yield finding, "", None
            continue
        excuse = excuses.excuse(configured.policy, finding, exceptions)
        holds = excuse if excuse and today <= excuse.until else None
        message = configured.policy.message(finding) + (excuses.told(excuse, today) if excuse else "")
        yield finding, message, holds


def judge(
    name: str,
    stack: Stack,
    configured: Mapping[str, Configured],
    exceptions: tuple[PolicyException, ...],
    today: date,
    *,
    deploying: bool = False,
) -> Judgement:
    """What every policy that is not disabled says of a stack; `deploying`: of one that is about to be deployed."""
    asked = [_verdict(stack, one, exceptions, today) for one in configured.values()]
    verdicts = tuple(
        verdict if deploying or not verdict.policy.at_deployment else _put_off(verdict) for verdict in asked
    )
    policies = {policy: one.policy for policy, one in configured.items()}
    used = {id(exception) for verdict in verdicts for _, exception in verdict.excused}
    current = [e for e in exceptions if today <= e.until]
    return Judgement(
        name,
        verdicts,
        tuple(excuses.mistakes(stack, exceptions, today, policies, LONGEST_EXCEPTION_DAYS)),
        tuple(e for e in current if id(e) not in used),
    )


def _put_off(verdict: Verdict) -> Verdict:
    return replace(verdict, violations=(), left=verdict.violations)


def _verdict(stack: Stack, configured: Configured, exceptions: tuple[PolicyException, ...], today: date) -> Verdict:
    policy = configured.policy
    seen = tuple(policy.subjects(stack))
    if configured.level is Level.DISABLED:
        return Verdict(configured, seen)
    violations: list[tuple[Violation, str]] = []
    excused: list[tuple[Violation, PolicyException]] = []
    later: list[Later] = []
    for finding, message, exception in findings(policy.of(stack, configured.settings), configured, exceptions, today):
        if isinstance(finding, Later):
            later.append(finding)
        elif exception is not None:
            excused.append((finding, exception))
        else:
            violations.append((finding, message))
    return Verdict(configured, seen, tuple(violations), tuple(excused), tuple(later))
