"""Single flight in one process, and the order of fills and invalidations in it.

A flight is a task of its own that its waiters shield: a waiter that is cancelled leaves, the load goes on, the
others get its result.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any

from app import deadlines

REMEMBERED = 8192
"""Invalidations kept by key. A fill that began before the oldest forgotten one is not stored."""


class Sequence:
    """Numbers invalidations, so that a fill knows whether one overtook it."""

    __slots__ = ("_at", "_floor", "now")

    def __init__(self) -> None:
        self.now = 0
        self._floor = 0
        self._at: OrderedDict[str, int] = OrderedDict()

    def invalidated(self, key: str) -> None:
        """`key` changed."""
        self.now += 1
        self._at.pop(key, None)
        self._at[key] = self.now
        if len(self._at) > REMEMBERED:
            _, self._floor = self._at.popitem(last=False)

    def everything(self) -> None:
        """Any key may have changed."""
        self.now += 1
        self._floor = self.now
        self._at.clear()

    def unchanged(self, key: str, since: int) -> bool:
        """Whether surely nothing invalidated `key` after `since` (an earlier `now`)."""
        return self._floor <= since and self._at.get(key, 0) <= since


class Flights:
    """The loads under way, by key. A reader that comes after an invalidation never joins a load from before it.

    A reader that cannot know of invalidations (`informed=False`: the feed is down) joins no load that runs, as it
    may have read the source before a write that is acknowledged by now; it joins the one that comes next. So
    there is still one load a key at a time, and nobody is given an old value.
    """

    __slots__ = ("_flights", "_next", "_sequence")

    def __init__(self, sequence: Sequence) -> None:
        self._flights: dict[str, tuple[int, Any, asyncio.Task[Any]]] = {}
        self._next: dict[str, tuple[Any, asyncio.Task[Any]]] = {}
        self._sequence = sequence

    async def join(
        self, key: str, type: Any, make: Callable[[], Coroutine[Any, Any, Any]], *, informed: bool = True
    ) -> Any:
        """The result of the flight for `key`, begun with `make()` where there is none of this type to join."""
        flight = self._flights.get(key)
        if flight is None or flight[1] != type or not self._sequence.unchanged(key, flight[0]):
            return await asyncio.shield(self._begin(key, type, make()))
        if informed:
            return await asyncio.shield(flight[2])
        following = self._next.get(key)
        if following is None or following[0] != type:
            task = self._task(key, self._after(key, type, flight[2], make))
            following = self._next[key] = (type, task)
        return await asyncio.shield(following[1])

    def _begin(self, key: str, type: Any, load: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._task(key, load)
        self._flights[key] = (self._sequence.now, type, task)
        return task

    async def _after(
        self, key: str, type: Any, before: asyncio.Task[Any], make: Callable[[], Coroutine[Any, Any, Any]]
    ) -> Any:
        await asyncio.wait([before])
        self._next.pop(key, None)
        task = asyncio.current_task()
        assert task is not None
        self._flights[key] = (self._sequence.now, type, task)
        return await make()

    def _task(self, key: str, load: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(load, name=f"load {key}", context=deadlines.detached())
        task.add_done_callback(lambda done: self._landed(key, done))
        return task

    def _landed(self, key: str, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            task.exception()  # seen: with every waiter gone nobody else would look at it
        current = self._flights.get(key)
        if current is not None and current[2] is task:
            del self._flights[key]

    async def close(self) -> None:
        """Cancel what is under way."""
        tasks = [flight[2] for flight in self._flights.values()] + [task for _, task in self._next.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def __len__(self) -> int:
        return len(self._flights)
