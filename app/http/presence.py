"""Who is using this process now, by requests of the last `WINDOW_SECONDS` and by open WebSockets.

A user whose requests are spread over several processes is present in each: app/http/census.py makes one count of it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator

WINDOW_SECONDS = 60.0
PRUNE_ABOVE = 10_000
"""Users remembered before the old ones are dropped without waiting for a scrape."""


class Presence:
    """Users, by their ids as text, seen lately and connected. `clock` is monotonic, in seconds."""

    def __init__(self, window_seconds: float = WINDOW_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_seconds = window_seconds
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._connected: Counter[str] = Counter()
        self._prune_above = PRUNE_ABOVE

    def saw(self, user: str) -> None:
        """A request of this user. The dictionary stays in the order of the last request."""
        seen = self._seen
        seen.pop(user, None)
        seen[user] = self._clock()
        if len(seen) > self._prune_above:
            self._prune()
            self._prune_above = max(PRUNE_ABOVE, 2 * len(seen))

    def opened(self, user: str) -> None:
        """A WebSocket of this user was accepted."""
        self._connected[user] += 1

    def closed(self, user: str) -> None:
        """A WebSocket of this user ended; its user was here until now."""
        self._connected[user] -= 1
        if not self._connected[user]:
            del self._connected[user]
        self.saw(user)

    def count(self) -> int:
        """Users present now."""
        self._prune()
        return len(self._seen.keys() | self._connected.keys())

    def since(self, moment: float) -> set[str]:
        """Users with a request at `moment` or later, and all who are connected."""
        return {*self._connected, *self._seen_since(moment)}

    def _seen_since(self, moment: float) -> Iterator[str]:
        for user, at in reversed(self._seen.items()):
            if at < moment:
                return
            yield user

    def _prune(self) -> None:
        oldest = self._clock() - self._window_seconds
        expired = []
        for user, at in self._seen.items():
            if at >= oldest:
                break
            expired.append(user)
        for user in expired:
            del self._seen[user]
