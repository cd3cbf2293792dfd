"""Exceptions: resources that the stack file excuses from a policy until a day, with a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date

from pydantic import TypeAdapter

from policies.policy import Policy, Violation
from policies.stack import Stack
from topology.settings import PolicyException
from topology.stackfile import NAMESPACE

KEY = f"{NAMESPACE}:policyExceptions"
_ENTRIES = TypeAdapter(tuple[PolicyException, ...])


def exceptions_of(config: Mapping[str, str]) -> tuple[PolicyException, ...]:
    """The exceptions of a stack's configuration. pydantic.ValidationError where one is malformed; the program says it
    better, before any policy is asked."""
    return _ENTRIES.validate_json(json.dumps(json.loads(config.get(KEY, "[]"))))


def excuse(policy: Policy, violation: Violation, exceptions: tuple[PolicyException, ...]) -> PolicyException | None:
    """The exception that names a violation's policy and resource, expired or not; the one that ends last."""
    name = violation.resource.name if violation.resource else "stack"
    found = [e for e in exceptions if e.policy == policy.name and e.resource == name]
    return max(found, key=lambda entry: entry.until, default=None)


def told(exception: PolicyException, today: date) -> str:
    """What an exception adds to a violation's message: nothing, where it holds."""
    if today <= exception.until:
        return ""
    return f" (its exception ended on {exception.until}: {exception.reason})"


def mistakes(
    stack: Stack, exceptions: tuple[PolicyException, ...], today: date, policies: Mapping[str, Policy], days: int
) -> Iterator[str]:
    """What is wrong with the exceptions themselves, each with its key in the stack file."""
    names = {resource.name for resource in stack.resources} | {"stack"}
    for index, entry in enumerate(exceptions):
        key = f"{KEY}[{index}]"
        if entry.policy not in policies:
            yield f"{key}.policy: {entry.policy} is no policy; `make policy` lists them"
        if entry.resource not in names:
            yield f"{key}.resource: {entry.resource} is no resource of this stack; take the entry out"
        if today > entry.until:
            yield f"{key}.until: {entry.until} is past; mend {entry.resource} ({entry.reason}) and take the entry out"
        elif (entry.until - today).days > days:
            yield f"{key}.until: {entry.until} is more than {days} days ahead; an exception is no rule"
