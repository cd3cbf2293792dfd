"""Other processes that use the cache (worker.py): started, told to go, heard."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path


def start_worker(document: Path, waiters: int, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.app.cache.worker", str(document), str(waiters), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


async def said(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return (await asyncio.wait_for(asyncio.to_thread(worker.stdout.readline), 30)).strip()


def go(worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    worker.stdin.write("go\n")
    worker.stdin.flush()
