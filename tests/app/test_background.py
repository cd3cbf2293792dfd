"""Work beside the requests goes on after an error, and ends with the process."""

from __future__ import annotations

import asyncio

import pytest

from app.background import Background


async def test_what_failed_is_logged_and_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Semaphore(0)

    async def watch() -> None:
        begun.release()
        raise OSError("away")

    background = Background(watch, restart_seconds=0.01)
    async with asyncio.timeout(5):
        for _ in range(3):
            await begun.acquire()
    await background.close()
    assert "begun again" in caplog.text


async def test_a_close_ends_it() -> None:
    ended = asyncio.Event()

    async def watch() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    background = Background(watch)
    await asyncio.sleep(0)
    await background.close()
    assert ended.is_set()
