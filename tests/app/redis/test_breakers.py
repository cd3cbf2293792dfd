from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from app.redis.away import BreakerOpen
from app.redis.breakers import HALF_OPEN, OPEN, Breaker, Breakers


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def fail() -> str:
    raise RedisConnectionError("away")


async def answer() -> str:
    return "answer"


async def tried(breaker: Breaker, make: Callable[[], Awaitable[object]] = answer) -> str:
    """What came of one call."""
    try:
        await breaker.call(make)
    except BreakerOpen:
        return "refused"
    except (RedisConnectionError, ResponseError) as error:
        return type(error).__name__
    return "answered"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("cache", "us-west", minimum=10, open_seconds=2, clock=clock)


async def test_it_opens_when_half_of_the_calls_failed(breaker: Breaker) -> None:
    assert [await tried(breaker) for _ in range(5)] == ["answered"] * 5
    assert [await tried(breaker, fail) for _ in range(5)] == ["ConnectionError"] * 5
    assert await tried(breaker) == "refused"


async def test_too_few_calls_prove_nothing(breaker: Breaker) -> None:
    for _ in range(9):
        await tried(breaker, fail)
    assert await tried(breaker) == "answered"


async def test_failures_that_the_window_has_left_do_not_count(breaker: Breaker, clock: Clock) -> None:
    for _ in range(9):
        await tried(breaker, fail)
    clock.now += 11
    for _ in range(9):
        await tried(breaker, fail)
    assert breaker.closed


async def test_a_few_failures_among_many_answers_leave_it_closed(breaker: Breaker) -> None:
    for _ in range(20):
        await tried(breaker, fail if _ % 3 == 0 else answer)
    assert breaker.closed


async def opened(breaker: Breaker) -> None:
    for _ in range(10):
        await tried(breaker, fail)
    assert breaker.state == OPEN


async def test_open_it_says_when_to_come_back(breaker: Breaker, clock: Clock) -> None:
    await opened(breaker)
    clock.now += 0.5
    with pytest.raises(BreakerOpen) as caught:
        breaker.check()
    assert caught.value.retry_after == pytest.approx(1.5)


async def test_half_open_one_probe_goes_through_and_closes_it(breaker: Breaker, clock: Clock) -> None:
    await opened(breaker)
    clock.now += 2
    go = asyncio.Event()

    async def slow() -> None:
        await go.wait()

    probe = asyncio.create_task(tried(breaker, slow))
    await asyncio.sleep(0)
    assert breaker.state == HALF_OPEN
    assert [await tried(breaker) for _ in range(3)] == ["refused"] * 3
    go.set()
    assert await probe == "answered"
    assert await tried(breaker) == "answered"


async def test_a_failed_probe_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    await opened(breaker)
    clock.now += 2
    assert await tried(breaker, fail) == "ConnectionError"
    assert await tried(breaker) == "refused"


async def test_a_probe_whose_client_left_leaves_its_place_to_the_next(breaker: Breaker, clock: Clock) -> None:
    await opened(breaker)
    clock.now += 2
    probe = asyncio.create_task(tried(breaker, asyncio.Event().wait))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert await tried(breaker) == "answered"
    assert breaker.closed


async def test_a_client_that_leaves_counts_as_nothing(breaker: Breaker) -> None:
    for _ in range(30):
        task = asyncio.create_task(tried(breaker, asyncio.Event().wait))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert breaker.closed
    for _ in range(9):
        await tried(breaker, fail)
    assert breaker.closed


async def test_an_error_that_blames_the_caller_is_an_answer(breaker: Breaker) -> None:
    async def blame() -> None:
        raise ResponseError("ERR wrong number of arguments")

    for _ in range(30):
        assert await tried(breaker, blame) == "ResponseError"
    assert breaker.closed


async def test_each_dependency_and_region_has_its_own() -> None:
    breakers = Breakers()
    await opened(breakers.get("cache", "us-west"))
    assert breakers.get("cache", "us-west") is breakers.get("cache", "us-west")
    assert breakers.get("cache", "eu-central").closed
    assert breakers.get("sessions", "us-west").closed
    assert {(sample.dependency, sample.region): sample.state for sample in breakers.samples()} == {
        ("cache", "us-west"): OPEN,
        ("cache", "eu-central"): 0,
        ("sessions", "us-west"): 0,
    }
