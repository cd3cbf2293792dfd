from __future__ import annotations

import asyncio

import pytest

from app import deadlines
from app.deadlines import DeadlineExceeded


def test_without_a_deadline_there_is_all_the_time() -> None:
    assert deadlines.remaining() == float("inf")
    assert deadlines.remaining(3) == 3


def test_a_deadline_inside_another_can_only_be_nearer() -> None:
    with deadlines.deadline(1), deadlines.deadline(100):
        assert deadlines.remaining() <= 1
    with deadlines.deadline(100), deadlines.deadline(1):
        assert deadlines.remaining() <= 1
    assert deadlines.remaining() == float("inf")


def test_a_deadline_that_has_passed_is_said() -> None:
    with deadlines.deadline(0), pytest.raises(DeadlineExceeded):
        deadlines.remaining()


async def test_a_deadline_reaches_the_tasks_of_its_request() -> None:
    async def left() -> float:
        return deadlines.remaining()

    with deadlines.deadline(1):
        assert await asyncio.create_task(left()) <= 1


async def test_work_that_outlives_the_request_has_no_deadline() -> None:
    async def left() -> float:
        return deadlines.remaining()

    with deadlines.deadline(0.01):
        task = asyncio.get_running_loop().create_task(left(), context=deadlines.detached())
    assert await task == float("inf")
