"""Token buckets: one script on Redis's clock, and the same arithmetic in a process.

A bucket is a single number, the time at which it will be full again (the "theoretical arrival time" of GCRA):
with `rate` tokens a second and room for `burst`, the tokens now are burst - (full at - now) * rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from app.redis.clients import Script

TAKE = Script(
    """
-- KEYS bucket; ARGV rate a second, burst, tokens wanted, tokens given back
-- -> {tokens granted, ms until one more is there}
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local rate, burst, want, back = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local each = 1000000 / rate
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0') - back * each, now)
local there = burst - (full - now) / each
local granted = math.max(0, math.min(want, math.floor(there + 0.000001)))
if granted == 0 and back == 0 then return {0, math.ceil((1 - there) * each / 1000)} end
full = full + granted * each
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.max(1, math.ceil((full - now) / 1000)))
there = there - granted
return {granted, math.max(0, math.ceil((1 - there) * each / 1000))}
"""
)

PRESENT = Script(
    """
-- KEYS who is present; ARGV name, ms until it counts as gone -> how many are present
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""
)


class LocalBucket:
    """A bucket in this process, on the monotonic clock. It begins full."""

    __slots__ = ("_clock", "_full_at", "burst", "rate")

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, max(1.0, burst), clock
        self._full_at = 0.0

    def take(self, want: int = 1) -> tuple[int, float]:
        """(tokens granted, seconds until one more is there)."""
        now = self._clock()
        full = max(self._full_at, now)
        there = self.burst - (full - now) * self.rate
        granted = max(0, min(want, math.floor(there + 1e-9)))
        self._full_at = full + granted / self.rate
        return granted, max(0.0, (1 - (there - granted)) / self.rate)
