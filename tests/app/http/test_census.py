"""The region's users are counted once, however many processes see them; on a real Redis."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from redis.exceptions import ResponseError

from app.http import census as census_module
from app.http.census import Census
from app.http.presence import Presence
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients, Script
from tests.app.fixtures_redis import Document, RedisRegions

PROCESSES = 5
USERS = 200


class Region:
    """Processes of a region, and requests that reach any of them."""

    def __init__(self, document: Path) -> None:
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.app.http.counting_process", str(document)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(PROCESSES)
        ]
        for process in self.processes:
            assert self.said(process) == "ready"

    @staticmethod
    def said(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        return process.stdout.readline().strip()

    def shares(self, requests: list[list[str]]) -> list[float]:
        """The share of each process, after these requests."""
        for process, seen in zip(self.processes, requests, strict=True):
            assert process.stdin is not None
            process.stdin.write(" ".join(seen) + "\n")
            process.stdin.flush()
        return [float(self.said(process)) for process in self.processes]


@pytest.fixture
def region(redis_document: Document, tmp_path: Path) -> Iterator[Region]:
    path = tmp_path / "document.json"
    path.write_bytes(redis_document().encode())
    region = Region(path)
    yield region
    for process in region.processes:
        process.kill()
        process.wait()


def anywhere(users: list[str], requests: int, processes: int = PROCESSES) -> list[list[str]]:
    """Each user's requests, at processes drawn at random, as the mesh spreads them."""
    draw = random.Random(7)
    seen: list[list[str]] = [[] for _ in range(processes)]
    for user in users:
        for _ in range(requests):
            draw.choice(seen).append(user)
    return seen


def test_the_sum_over_the_processes_is_the_users_however_their_requests_are_spread(region: Region) -> None:
    users = [uuid4().hex for _ in range(USERS)]
    assert sum(region.shares(anywhere(users, 12))) == pytest.approx(USERS, rel=0.05)
    more = [uuid4().hex for _ in range(USERS)]
    uneven = [more, [], *([] for _ in range(PROCESSES - 2))]  # all of them at one process
    assert sum(region.shares(uneven)) == pytest.approx(2 * USERS, rel=0.05)


def test_a_process_that_leaves_or_dies_leaves_its_share_to_the_others(region: Region) -> None:
    users = [uuid4().hex for _ in range(USERS)]
    region.shares(anywhere(users, 12))
    os.kill(region.processes.pop().pid, signal.SIGKILL)
    leaving = region.processes.pop()
    assert leaving.stdin is not None
    leaving.stdin.close()
    leaving.wait(10)
    region.shares(anywhere(users, 1, PROCESSES - 2))
    assert sum(region.shares(anywhere(users, 1, PROCESSES - 2))) == pytest.approx(USERS, rel=0.05)


async def test_without_redis_the_share_follows_what_the_process_sees(
    redis_document: Document, redis_regions: RedisRegions
) -> None:
    clients = [RedisClients(redis_document()) for _ in range(4)]
    presences = [Presence() for _ in clients]
    counts = [Census(presence, one, Breakers()) for presence, one in zip(presences, clients, strict=True)]
    users = [uuid4().hex for _ in range(40)]
    for presence in presences:
        for user in users:
            presence.saw(user)
    for _ in range(2):
        for count in counts:
            await count.tell()
    assert sum(count.share() for count in counts) == pytest.approx(40)
    for server in redis_regions.caches["us-west"].servers:
        server.kill()
    more = [uuid4().hex for _ in range(40)]
    for presence in presences:
        for user in more:
            presence.saw(user)
    for count in counts:
        await count.tell()
    assert sum(count.share() for count in counts) == pytest.approx(80)
    for one in clients:
        await one.close()


async def test_a_script_that_is_wrong_is_raised_and_not_taken_for_an_outage(
    redis_document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census_module, "TELL", Script("return redis.call('NOSUCH')"))
    clients = RedisClients(redis_document())
    with pytest.raises(ResponseError):
        await Census(Presence(), clients, Breakers()).tell()
    await clients.close()


async def test_more_users_than_one_call_takes_are_all_counted(
    redis_document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census_module, "MOST_AT_ONCE", 7)
    clients, presence = RedisClients(redis_document()), Presence()
    for _ in range(50):
        presence.saw(uuid4().hex)
    count = Census(presence, clients, Breakers(), clock=lambda: 0.0)
    await count.tell()
    await asyncio.sleep(0)
    assert count.share() == 50
    await clients.close()
