"""Requests that outlive their deadline are cut, all of them by one timer.

A timer for each request (asyncio.timeout) costs 5 us, most of it for requests that end in a tenth of the time. All
have the same number of seconds, so those that are due stand first in the order of their arrival: once in
`TICK_SECONDS` the first few are looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import time

from app import deadlines

TICK_SECONDS = 0.05
LEAST = 0.2
"""The part of its seconds that a request has in any case, however long ago its first gateway says it came: another
server gets a chance with it, and a clock that is wrong costs no more than patience."""


class Cutter:
    """Cancels tasks `seconds` after their `begin`, and a tick at most later, unless they came to their `end`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._due: dict[asyncio.Task[object], float] = {}
        self._cut: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, started: bytes | None = None) -> asyncio.Task[object]:
        """The current task, which has `seconds` from now; whatever it waits for can ask how many are left.

        `started` is when its first gateway got it (nginx's $msec): what it has spent with other servers is counted. It
        is cut by the timer as late as one that came at the same time anew, but nothing that it waits for takes so long.
        """
        task = asyncio.current_task()
        assert task is not None
        seconds = self.seconds
        if started is not None:
            with contextlib.suppress(ValueError):
                seconds = max(LEAST * seconds, min(seconds, seconds - time.time() + float(started)))
        self._due[task] = deadlines.begin(seconds)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._look)
        return task

    def end(self, task: asyncio.Task[object]) -> None:
        """The task needs no deadline any more."""
        self._due.pop(task, None)

    def has_cut(self) -> bool:
        """Whether the current task's cancellation was the deadline's; then it is taken back."""
        task = asyncio.current_task()
        if task is None or task not in self._cut:
            return False
        self._cut.discard(task)
        return task.uncancel() == 0

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        late = []
        for task, due in self._due.items():
            if due > now:
                break
            late.append(task)
        for task in late:
            del self._due[task]
            self._cut.add(task)
            task.cancel()
        if self._due:
            self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._look)
