"""What says that a server of Redis could not be asked, as against an answer that is an error.

One list for everybody: who meets one of `AWAY` does without the server (a load instead of
a hit, a local limit, a region that is told later). Any other error of Redis is an answer:
a script that is wrong, a command that is not allowed, a value of another type. It is a
mistake of ours or of the operator's, so it is raised, and the breaker logs and counts it.
"""

from __future__ import annotations

from redis.exceptions import (
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError


class BreakerOpen(Exception):
    """The dependency was not asked. `retry_after`: seconds until the next probe may go through."""

    def __init__(self, dependency: str, region: str, retry_after: float) -> None:
        super().__init__(f"{dependency} in {region} is failing; the next try is in {retry_after:.1f} s")
        self.dependency = dependency
        self.region = region
        self.retry_after = retry_after


class UnwritableError(ResponseError):
    """The server takes no writes now: it cannot save them, or has too few replicas."""


AWAY: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    RedisConnectionError,
    RedisTimeoutError,
    RedisClusterException,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
    UnwritableError,
    BreakerOpen,
)
"""A server that is loading, without its cluster, full, or read-only after a failover is away too."""

FAILURES: tuple[type[Exception], ...] = (RedisError, *AWAY)
"""All that asking Redis can end in; for work that is tried on whatever the reason was."""


def is_away(error: BaseException) -> bool:
    """Whether `error` is one of `AWAY`."""
    return isinstance(error, AWAY)
