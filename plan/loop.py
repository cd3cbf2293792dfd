"""The event loop that the program runs in: one thread, in a fixed
order, and it notices when nothing can happen any more.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import selectors
from collections.abc import Callable
from typing import Any

PATIENCE = 1.0
"""Seconds without anything to do after which nothing will
come: only a program with transforms has a thread (gRPC's).
"""


class Deadlock(Exception):
    """The program waits for something that never comes: a resource that depends on its own parent, or a cycle."""


class InlineExecutor(concurrent.futures.ThreadPoolExecutor):
    """Runs each job at once where it is submitted.

    Pulumi's SDK sends its calls to the engine through the loop's executor, for they usually cross the network. Here
    the engine is a plain object: no threads, so the order of registrations is the program's own, run after run.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        """The finished future of `fn`'s result or exception."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - an executor hands it over, whatever it is
            future.set_exception(error)
        return future


class _Selector(selectors.DefaultSelector):
    """Raises Deadlock where the loop would sleep without end: no timer, nothing ready, and no thread wakes it."""

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(PATIENCE if timeout is None else timeout)
        if timeout is None and not events:
            raise Deadlock
        return events


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop with both."""
    loop = asyncio.SelectorEventLoop(_Selector())
    loop.set_default_executor(InlineExecutor(max_workers=1))
    return loop
