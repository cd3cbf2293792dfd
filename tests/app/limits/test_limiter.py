"""Limits over real Redis: several limiters as several processes, in one region and in three."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from redis.exceptions import ResponseError

from app.deployment import LimitConfig
from app.limits import limiter as limiter_module
from app.limits.leases import Lease
from app.limits.limiter import LEASE_SECONDS, USER_LEASE, RateLimiter
from app.metrics import Metrics
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients, Script
from tests.app.fixtures_redis import REGIONS, Document, RedisRegions

MakeLimiter = Callable[..., Awaitable[RateLimiter]]
GENEROUS = 1_000_000


@pytest_asyncio.fixture
async def make_limiter(redis_document: Document) -> AsyncIterator[MakeLimiter]:
    async with contextlib.AsyncExitStack() as stack:

        async def make(
            region: str = "us-west",
            user_rate: float = GENEROUS,
            user_burst: int = GENEROUS,
            global_rate: float = GENEROUS,
            global_burst: int = GENEROUS,
        ) -> RateLimiter:
            clients = RedisClients(redis_document(region))
            stack.push_async_callback(clients.close)
            config = LimitConfig(
                user_rate=user_rate, user_burst=user_burst, global_rate=global_rate, global_burst=global_burst
            )
            limiter = RateLimiter(clients, config)
            stack.push_async_callback(limiter.close)
            await limiter.start()
            return limiter

        yield make


async def allowed(limiters: list[RateLimiter], requests: int, user: Callable[[int], str] = lambda _: "u") -> int:
    """How many of `requests`, spread over the limiters, are allowed."""
    count = 0
    for number in range(requests):
        count += (await limiters[number % len(limiters)].check(user(number))).allowed
    return count


async def test_a_user_has_their_burst_and_not_more(make_limiter: MakeLimiter) -> None:
    limiter = await make_limiter(user_rate=0.001, user_burst=50)
    assert await allowed([limiter], 200) == 50


async def test_a_user_has_one_burst_over_all_processes_of_a_region(make_limiter: MakeLimiter) -> None:
    limiters = [await make_limiter(user_rate=0.001, user_burst=50) for _ in range(3)]
    assert await allowed(limiters, 300) == 50


async def test_a_user_over_the_limit_is_told_when_to_come_back_and_then_allowed(make_limiter: MakeLimiter) -> None:
    limiter = await make_limiter(user_rate=5, user_burst=2)
    assert await allowed([limiter], 2) == 2
    denied = await limiter.check("u")
    assert (denied.allowed, denied.limit) == (False, "user")
    assert 0 < denied.retry_after <= 0.2
    await asyncio.sleep(denied.retry_after + 0.02)
    assert (await limiter.check("u")).allowed


async def test_one_user_s_excess_is_not_another_s(make_limiter: MakeLimiter) -> None:
    limiter = await make_limiter(user_rate=0.001, user_burst=5)
    await allowed([limiter], 20, lambda _: "greedy")
    assert (await limiter.check("modest")).allowed


async def test_a_user_s_requests_mostly_need_no_redis(make_limiter: MakeLimiter) -> None:
    limiter = await make_limiter(user_rate=1000, user_burst=1000)
    asked = 0
    ask = limiter._ask

    async def counted(*args: Any) -> Any:
        nonlocal asked
        asked += 1
        return await ask(*args)

    limiter._ask = counted  # type: ignore[method-assign, assignment]
    began = time.monotonic()
    assert await allowed([limiter], 500) == 500
    if time.monotonic() - began < LEASE_SECONDS:
        assert asked < 500 / USER_LEASE * 4


async def test_tokens_that_a_process_did_not_use_go_back(make_limiter: MakeLimiter) -> None:
    first, second = (
        await make_limiter(user_rate=0.001, user_burst=20),
        await make_limiter(user_rate=0.001, user_burst=20),
    )
    used = await allowed([first], 8)  # leases of 1, 2, 4 and 8: seven of the last are not used
    await asyncio.sleep(LEASE_SECONDS + 0.05)
    used += await allowed([first], 1)
    used += await allowed([second], 30)
    assert used >= 19


async def test_everything_together_has_one_burst_over_all_regions(make_limiter: MakeLimiter) -> None:
    limiters = [await make_limiter(region, global_rate=0.01, global_burst=240) for region in REGIONS]
    granted = 0
    for _ in range(12):  # a denial may name a bucket that is empty while another is not: come back
        granted += await allowed(limiters, 60, lambda number: f"user-{number}")
        for limiter in limiters:
            limiter._global.denied_until = 0
    assert 160 <= granted <= 240


async def test_a_region_that_ran_out_takes_from_the_others(make_limiter: MakeLimiter) -> None:
    limiter = await make_limiter(global_rate=0.01, global_burst=240)
    granted = 0
    for _ in range(40):
        granted += await allowed([limiter], 20, lambda number: f"user-{number}")
        limiter._global.denied_until = 0
    assert granted > 80 * 1.5  # its own third is 80


async def test_the_global_limit_is_spread_over_many_keys(
    make_limiter: MakeLimiter, redis_regions: RedisRegions
) -> None:
    limiter = await make_limiter(global_rate=0.01, global_burst=240)
    for _ in range(40):
        await allowed([limiter], 10, lambda number: f"user-{number}")
        limiter._global.denied_until = 0
    held = []
    for server in redis_regions.caches["us-west"].servers:
        with server.client() as client:
            held.append(len(client.keys("limit:global:*")))
    assert sum(held) == 8
    assert all(held)


async def test_redis_gone_the_users_limit_still_holds_in_each_process(
    make_limiter: MakeLimiter, redis_regions: RedisRegions
) -> None:
    limiters = [await make_limiter(user_rate=0.001, user_burst=40) for _ in range(2)]
    for limiter in limiters:
        await limiter.close()
        limiter._processes = 2  # as counted while Redis was there
    used = await allowed(limiters, 10)
    for server in redis_regions.caches["us-west"].servers:
        server.kill()
    used += await allowed(limiters, 300)
    assert 40 <= used <= 40 + 40 + 2 * USER_LEASE


async def test_processes_count_each_other(make_limiter: MakeLimiter) -> None:
    limiters = [await make_limiter() for _ in range(3)]
    for limiter in limiters:
        await limiter.close()
        await limiter.start()
        await asyncio.sleep(0.1)
    assert limiters[-1]._processes == 3


async def test_who_comes_between_a_lease_s_arrival_and_its_telling_waits_without_holding_the_loop() -> None:
    """Such a one once waited for a task that was done, in a loop that let nothing else run."""
    limiter = RateLimiter.__new__(RateLimiter)
    limiter._clock = time.monotonic
    lease, late = Lease(), list[asyncio.Task[float]]()

    async def arrive() -> None:
        if not late:
            late.extend(asyncio.create_task(limiter._take(lease, arrive)) for _ in range(3))
        limiter._granted(lease, 1, 0.0)

    async with asyncio.timeout(5):
        assert await limiter._take(lease, arrive) == 0.0
        assert await asyncio.gather(*late) == [0.0] * 3


@pytest.mark.parametrize("script", ["TAKE", "PRESENT"])
@pytest.mark.parametrize("source", ["retrun 1", "return redis.call('NOSUCH')", "return nosuch(KEYS[1])"])
async def test_a_script_that_is_wrong_is_raised_logged_and_counted_and_never_taken_for_an_outage(
    redis_document: Document,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    script: str,
    source: str,
) -> None:
    monkeypatch.setattr(limiter_module, script, Script(source))
    metrics = Metrics()
    clients, breakers = RedisClients(redis_document(), metrics), Breakers()
    metrics.breakers = breakers.samples
    limiter = RateLimiter(clients, breakers=breakers)
    await limiter.start()
    if script == "TAKE":
        for ask in (limiter.check("u"), limiter.check_key("ip:192.0.2.1"), limiter.check_global()):
            with pytest.raises(ResponseError):
                await ask
    else:
        await asyncio.sleep(0.2)
        assert "failed and is begun again" in caplog.text
    counted = [line for line in metrics.render().decode().splitlines() if line.startswith("hal9_redis_wrong_answers_t")]
    assert sum(float(line.rpartition(" ")[2]) for line in counted) >= 1
    await limiter.close()
    await clients.close()


async def test_a_crowd_of_addresses_takes_no_user_s_lease(
    make_limiter: MakeLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter_module, "MOST_ADDRESSES", 10)
    limiter = await make_limiter()
    await allowed([limiter], 5)
    held = limiter._users.get("u")
    for number in range(50):
        await limiter.check_key(f"ip:192.0.2.{number}")
    assert limiter._users.get("u") is held
    assert len(limiter._addresses) == 10
