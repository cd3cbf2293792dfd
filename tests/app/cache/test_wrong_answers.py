"""An answer of Redis that is an error is told, logged and counted, never taken for a cache that is away."""

from __future__ import annotations

import logging

import pytest
from redis.exceptions import ResponseError

from app.cache import DistributedCache, records
from app.redis.clients import Script
from tests.app.cache.conftest import MakeCache
from tests.app.cache.source import Source, User

BROKEN = Script("this is no lua")


def wrong_answers(cache: DistributedCache) -> int:
    return sum(sample.wrong for sample in (cache._levels._reading, cache._levels._writing))


async def told(cache: DistributedCache, caplog: pytest.LogCaptureFixture) -> None:
    """It was logged as an error and counted, and the breaker is closed: the server is well."""
    assert [record for record in caplog.records if record.levelno == logging.ERROR]
    assert wrong_answers(cache) > 0
    assert all(sample.state == 0 for sample in (cache._levels._reading, cache._levels._writing))


@pytest.mark.parametrize("script", ["CLAIM", "STORE"])
async def test_a_load_whose_script_is_broken_says_so(
    make_cache: MakeCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, script: str
) -> None:
    cache = await make_cache()
    monkeypatch.setattr(records, script, BROKEN)
    for number in range(20):
        with pytest.raises(ResponseError):
            await cache.get_or_load(f"user:{number}", Source(User(number)).load, User)
    await told(cache, caplog)


async def test_a_load_that_failed_and_cannot_be_taken_back_says_both(
    make_cache: MakeCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache, source = await make_cache(), Source(User(1))
    source.away = True
    monkeypatch.setattr(records, "RELEASE", BROKEN)
    with pytest.raises(ResponseError) as raised:
        await cache.get_or_load("user:1", source.load, User)
    assert isinstance(raised.value.__context__, ConnectionRefusedError)
    await told(cache, caplog)


async def test_an_invalidation_whose_script_is_broken_says_so_and_is_tried_on(
    make_cache: MakeCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache, source = await make_cache(), Source(User(1, "old"))
    await cache.get_or_load("user:1", source.load, User)
    source.value = User(1, "new")
    with monkeypatch.context() as patch:
        patch.setattr(records, "INVALIDATE", BROKEN)
        with pytest.raises(ResponseError):
            await cache.invalidate("user:1")
        assert await cache.get_or_load("user:1", source.load, User) == User(1, "new")
        await told(cache, caplog)
    assert await cache._levels.delivery.drain(10)
