"""What a writer waits for before it returns, with readers in processes of their own, frozen and thawed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cache import coherence
from tests.app.cache.conftest import MakeCache
from tests.app.cache.source import put
from tests.app.fixtures_redis import Document

KEY = "user:1"
STILL_WAITING_SECONDS = 0.5
"""An invalidation takes a few milliseconds; one that is not back after this time waits for somebody."""
ENOUGH_SECONDS = 10.0
"""For a thawed process to answer, however busy the machine."""


class Reader:
    """A process of the region with `KEY` in its L1."""

    def __init__(self, document: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.app.cache.reader", str(document), KEY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def said(self) -> dict[str, Any]:
        """Its next line."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self._process.stdout.readline), 30)
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def read(self) -> dict[str, Any]:
        """What it reads now."""
        assert self._process.stdin is not None
        self._process.stdin.write("read\n")
        self._process.stdin.flush()
        return await self.said()

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def start_reader(redis_document: Document, tmp_path: Path) -> Iterator[Callable[[], Reader]]:
    document = tmp_path / "document.json"
    document.write_bytes(redis_document().encode())
    readers: list[Reader] = []

    def start() -> Reader:
        readers.append(Reader(document))
        return readers[-1]

    yield start
    for reader in readers:
        reader.end()


async def test_a_writer_returns_when_every_other_process_has_applied_the_invalidation_and_not_before(
    make_cache: MakeCache, start_reader: Callable[[], Reader], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The writer's other way out, the end of the silent ones' trust,
    # is put out of reach: what ends the wait is the answers.
    monkeypatch.setattr(coherence, "TRUST_SECONDS", 10 * ENOUGH_SECONDS)
    writer = await make_cache()
    await put(writer, KEY, "old")
    readers = [start_reader() for _ in range(2)]
    for reader in readers:
        assert await reader.said() == {"value": "old", "l1": True}
        reader.freeze()
    writing = asyncio.create_task(writer.invalidate(KEY))
    for reader in readers:
        assert await asyncio.wait({writing}, timeout=STILL_WAITING_SECONDS) == (set(), {writing})
        reader.thaw()
    assert (await asyncio.wait_for(writing, ENOUGH_SECONDS)).here
    assert [await reader.read() for reader in readers] == [{"value": None, "l1": False}] * 2


async def test_a_writer_waits_for_a_process_that_never_answers_until_it_trusts_its_l1_no_more(
    make_cache: MakeCache, start_reader: Callable[[], Reader]
) -> None:
    writer = await make_cache()
    await put(writer, KEY, "old")
    reader = start_reader()
    assert await reader.said() == {"value": "old", "l1": True}
    reader.freeze()
    began = time.monotonic()
    await writer.invalidate(KEY)
    assert time.monotonic() - began >= coherence.TRUST_SECONDS
    reader.thaw()
    assert await reader.read() == {"value": None, "l1": False}
