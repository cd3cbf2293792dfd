"""Shedding: by what is in flight, and by how late the event loop is."""

from __future__ import annotations

import asyncio
import time

import pytest

from app.http import shedding
from app.http.problem import Problem
from app.http.shedding import Shedder
from app.metrics import Metrics


def test_as_many_as_fit_are_admitted_and_the_next_is_not() -> None:
    metrics = Metrics()
    shedder = Shedder(10, metrics)
    metrics.requests.in_flight = 10
    shedder.admit()
    metrics.requests.in_flight = 11
    with pytest.raises(Problem) as caught:
        shedder.admit()
    assert caught.value.status == 503
    assert int(dict(caught.value.headers)[b"retry-after"]) >= 1


async def test_a_loop_that_stays_late_sheds_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shedding, "INTERVAL_SECONDS", 0.1)
    shedder = Shedder(10, Metrics())
    watching = asyncio.create_task(shedder.watch())
    ends = time.monotonic() + 0.8
    while time.monotonic() < ends:
        time.sleep(0.15)  # a loop that is always busy
        await asyncio.sleep(0)
    assert shedder.overloaded
    async with asyncio.timeout(5):
        while shedder.overloaded:
            await asyncio.sleep(0.02)
    shedder.admit()
    watching.cancel()


async def test_one_burst_sheds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shedding, "INTERVAL_SECONDS", 0.4)
    shedder = Shedder(10, Metrics())
    watching = asyncio.create_task(shedder.watch())
    await asyncio.sleep(0.05)
    time.sleep(0.1)
    ends = time.monotonic() + 0.6
    while time.monotonic() < ends:
        await asyncio.sleep(0.01)
        assert not shedder.overloaded
    watching.cancel()
