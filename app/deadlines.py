"""A request's deadline, carried to everything that works for it.

Set once where the request comes in; whoever waits for something asks `remaining()` and never waits longer.
A deadline inside another can only be nearer.
"""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Iterator

_end: contextvars.ContextVar[float | None] = contextvars.ContextVar("deadline", default=None)


class DeadlineExceeded(TimeoutError):
    """The request's time is over; nobody waits for the answer any more."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """What runs inside has `seconds` from now, or less where the deadline around it is nearer."""
    end, outer = time.monotonic() + seconds, _end.get()
    token = _end.set(end if outer is None else min(end, outer))
    try:
        yield
    finally:
        _end.reset(token)


def begin(seconds: float) -> float:
    """As `deadline`, for the whole of the current task: its context is its own and ends with it.

    Returns when it is, on the monotonic clock.
    """
    end = time.monotonic() + seconds
    _end.set(end)
    return end


def remaining(at_most: float = float("inf")) -> float:
    """Seconds left, never more than `at_most`.

    Raises: DeadlineExceeded when none are left.
    """
    end = _end.get()
    if end is None:
        return at_most
    left = end - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("the request's deadline has passed")
    return min(left, at_most)


def detached() -> contextvars.Context:
    """A copy of this context without its deadline, for work that outlives the request which began it."""
    context = contextvars.copy_context()
    context.run(_end.set, None)
    return context
