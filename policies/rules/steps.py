"""The policy of the change itself: what becomes of the stack that stands."""

from __future__ import annotations

from collections.abc import Iterator

from policies import tokens
from policies.policy import Finding, Violation, stack_policy
from policies.stack import Stack
from topology.steps import decided


@stack_policy(tokens.VPC, tokens.RDS, tokens.REDIS)
def steps_allowed(stack: Stack) -> Iterator[Finding]:
    """A plan that is right may be the end of what stands: homes swapped are two empty primaries,
    a shard's new id is its users' loss. It is asked where what stands is known, by `make policy
    BASE=` and by `pulumi preview` and `up` themselves. (docs/decisions/0007-change.md)

    Fix: by the way that the message names, or with a reason in hal9:accepted.
    """
    if stack.edit is not None:
        for refusal in decided(stack.edit.before, stack.edit.after, stack.edit.now).refused:
            yield Violation(None, f"hal9:{refusal.path}: {refusal.what}", refusal.way)


POLICIES = (steps_allowed,)
