"""Circuit breakers: one for each dependency and region.

A breaker judges the rate of failures over a sliding window and only once there is a minimum of calls, so that
one error at night does not open it. Open, it refuses at once for `open_seconds`; then a single probe goes through,
and its outcome decides. An answer that blames the caller (a 4xx, a Lua error) proves that the dependency is well;
a call that the client gave up on proves nothing and is not counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from redis.exceptions import RedisError

from app.metrics import BreakerSample
from app.redis.away import BreakerOpen, is_away

log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSED, HALF_OPEN, OPEN = 0, 1, 2
BUCKETS = 10
"""The window moves in this many steps."""


class Breaker:
    """Use `call`, or, where a frame more is too much: `check()` before, then `success()`, `failure()` or `abandon()`.

    Opens when at least `minimum` calls were seen in `window_seconds` and `failure_rate` of them failed.
    `is_failure` says which errors are the dependency's own. `wrong` counts the answers of Redis that are errors.
    """

    __slots__ = (
        "_bucket",
        "_clock",
        "_failures",
        "_is_failure",
        "_opened",
        "_probing",
        "_step",
        "_successes",
        "dependency",
        "failure_rate",
        "minimum",
        "open_seconds",
        "region",
        "state",
        "wrong",
    )

    def __init__(
        self,
        dependency: str,
        region: str,
        *,
        window_seconds: float = 10,
        minimum: int = 10,
        failure_rate: float = 0.5,
        open_seconds: float = 1,
        is_failure: Callable[[BaseException], bool] = is_away,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.dependency, self.region = dependency, region
        self.minimum, self.failure_rate, self.open_seconds = minimum, failure_rate, open_seconds
        self.state = CLOSED
        self.wrong = 0
        self._is_failure, self._clock = is_failure, clock
        self._step = window_seconds / BUCKETS
        self._bucket = int(clock() / self._step)
        self._successes, self._failures = [0] * BUCKETS, [0] * BUCKETS
        self._opened = 0.0
        self._probing = False

    @property
    def closed(self) -> bool:
        """Whether calls go through as usual."""
        return self.state == CLOSED

    def check(self) -> None:
        """Say that a call is about to be made.

        Raises: BreakerOpen when it must not be.
        """
        if self.state == CLOSED:
            return
        wait = self._opened + self.open_seconds - self._clock()
        if wait > 0 or self._probing:
            raise BreakerOpen(self.dependency, self.region, max(wait, 0.1))
        self.state, self._probing = HALF_OPEN, True

    def success(self) -> None:
        """The dependency answered."""
        if self.state != CLOSED:
            if self._probing:
                self._reset()
            return
        self._turn()
        self._successes[self._bucket % BUCKETS] += 1

    def failure(self) -> None:
        """The dependency did not answer, or with an error of its own."""
        if self.state != CLOSED:
            self._open()
            return
        self._turn()
        self._failures[self._bucket % BUCKETS] += 1
        failed = sum(self._failures)
        total = failed + sum(self._successes)
        if total >= self.minimum and failed >= total * self.failure_rate:
            self._open()

    def abandon(self) -> None:
        """The caller gave up; nothing is known. A probe's place is free again."""
        self._probing = False

    def error(self, error: BaseException) -> None:
        """Count `error` as what it is: the caller's leaving, the dependency's failure, or an answer."""
        if isinstance(error, asyncio.CancelledError):
            self.abandon()
        elif self._is_failure(error):
            self.failure()
        else:
            self.success()
            if isinstance(error, RedisError):
                self.wrong += 1
                log.error("%s in %s answered with an error: %s", self.dependency, self.region, error)

    async def call(self, make: Callable[[], Awaitable[T]]) -> T:
        """The result of `make()`, awaited, its outcome counted.

        Raises: BreakerOpen without calling; otherwise what `make()` raises.
        """
        self.check()
        try:
            result = await make()
        except BaseException as error:
            self.error(error)
            raise
        self.success()
        return result

    def _turn(self) -> None:
        bucket = int(self._clock() / self._step)
        for old in range(self._bucket + 1, min(bucket, self._bucket + BUCKETS) + 1):
            self._successes[old % BUCKETS] = self._failures[old % BUCKETS] = 0
        self._bucket = bucket

    def _open(self) -> None:
        self.state, self._opened, self._probing = OPEN, self._clock(), False

    def _reset(self) -> None:
        self.state, self._probing = CLOSED, False
        self._successes, self._failures = [0] * BUCKETS, [0] * BUCKETS
        self._bucket = int(self._clock() / self._step)


class Breakers:
    """The breakers of a process by dependency (`cache`, `sessions`, `session-copy`) and region.

    Reading and writing have one each (`cache-write`, `sessions-write`): a store that is full, or a replica since a
    failover, answers every read and takes no write, and neither may hide the other's failures or pay for them.
    """

    def __init__(self) -> None:
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def get(self, dependency: str, region: str, is_failure: Callable[[BaseException], bool] = is_away) -> Breaker:
        """The one breaker of `dependency` in `region`; `is_failure` counts when it is first asked for."""
        found = self._breakers.get((dependency, region))
        if found is None:
            found = self._breakers[dependency, region] = Breaker(dependency, region, is_failure=is_failure)
        return found

    def samples(self) -> Iterator[BreakerSample]:
        """Every breaker's state, for the metrics."""
        for breaker in self._breakers.values():
            yield BreakerSample(breaker.dependency, breaker.region, breaker.state, breaker.wrong)
