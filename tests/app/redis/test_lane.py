"""One connection for all, on a real server: order, errors, loss and silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop
from redis.exceptions import (
    AuthenticationError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from app.deployment import Endpoint
from app.redis.away import is_away
from app.redis.lane import RedisLane
from lab.servers.process import free_port
from lab.servers.redis import RedisServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), password="open sesame")
    server.start()
    yield server
    server.stop()


def lane_to(server: RedisServer, password: str | None = None, patience: float = 0.5) -> RedisLane:
    return RedisLane(server.endpoint, lambda: password or server.password, patience)


@pytest_asyncio.fixture
async def lane(server: RedisServer) -> AsyncIterator[RedisLane]:
    lane = lane_to(server)
    yield lane
    await lane.aclose()


async def test_each_of_many_at_once_gets_its_own_answer(lane: RedisLane) -> None:
    await asyncio.gather(*(lane.execute_command("SET", f"key-{number}", number) for number in range(1000)))
    answers = await asyncio.gather(*(lane.get(f"key-{number}") for number in range(1000)))
    assert answers == [str(number).encode() for number in range(1000)]


async def test_one_who_leaves_does_not_shift_the_answers_of_the_others(lane: RedisLane) -> None:
    await asyncio.gather(*(lane.execute_command("SET", f"left-{number}", number) for number in range(10)))
    asking = [asyncio.ensure_future(lane.get(f"left-{number}")) for number in range(10)]
    await asyncio.sleep(0)
    asking[3].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers.pop(3), asyncio.CancelledError)
    assert answers == [str(number).encode() for number in range(10) if number != 3]


async def test_a_key_that_is_not_there_is_none(lane: RedisLane) -> None:
    assert await lane.get("nothing") is None


async def test_an_error_is_the_error_of_its_command_alone(lane: RedisLane) -> None:
    answers = await asyncio.gather(lane.execute_command("NOSUCH"), lane.execute_command("PING"), return_exceptions=True)
    assert isinstance(answers[0], ResponseError)
    assert answers[1] == b"PONG"


async def test_a_script_that_is_not_known_says_so(lane: RedisLane) -> None:
    with pytest.raises(NoScriptError):
        await lane.execute_command("EVALSHA", "0" * 40, 0)


async def test_a_copy_that_must_not_be_written_says_so_and_counts_as_away(server: RedisServer, tmp_path: Path) -> None:
    copy = RedisServer(tmp_path, password=server.password, replica_of=server)
    copy.start()
    lane = lane_to(copy)
    with pytest.raises(ReadOnlyError) as caught:
        await lane.execute_command("SET", "a", "b")
    assert is_away(caught.value)
    await lane.aclose()
    copy.stop()


async def test_a_wrong_password_is_refused_without_showing_it(server: RedisServer) -> None:
    lane = lane_to(server, password="wrong horse")
    with pytest.raises(AuthenticationError) as caught:
        await lane.get("a")
    assert "wrong horse" not in str(caught.value)
    await lane.aclose()


async def test_nobody_listening_is_an_error_at_once() -> None:
    lane = RedisLane(Endpoint(host="127.0.0.1", port=free_port(), tls=False), lambda: None, 0.5)
    with pytest.raises(RedisConnectionError):
        await lane.get("a")


async def test_a_lost_connection_fails_who_waits_and_is_made_anew(server: RedisServer, lane: RedisLane) -> None:
    await lane.execute_command("PING")
    with server.client() as other:
        waiting = [asyncio.create_task(lane.execute_command("WAIT", 1, 400)) for _ in range(3)]
        await asyncio.sleep(0.02)
        other.client_kill_filter(_type="normal")
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, RedisConnectionError) for outcome in outcomes)
    assert await lane.execute_command("PING") == b"PONG"


async def test_a_server_that_says_nothing_is_given_up_and_asked_anew_later(server: RedisServer) -> None:
    lane = lane_to(server, patience=0.2)
    await lane.execute_command("PING")
    began = time.monotonic()
    sleeping = asyncio.create_task(lane.execute_command("DEBUG", "SLEEP", 1))
    await asyncio.sleep(0)
    with pytest.raises(RedisTimeoutError):
        await lane.get("a")
    assert 0.1 < time.monotonic() - began < 0.7
    with pytest.raises(RedisTimeoutError):
        await sleeping
    await asyncio.sleep(1)
    assert await lane.execute_command("PING") == b"PONG"
    await lane.aclose()


async def test_a_close_fails_who_waits(lane: RedisLane) -> None:
    await lane.execute_command("PING")
    waiting = asyncio.create_task(lane.execute_command("DEBUG", "SLEEP", 0.1))
    await asyncio.sleep(0.01)
    await lane.aclose()
    with pytest.raises(RedisConnectionError):
        await waiting


def test_it_works_on_the_loop_that_the_server_runs_on(server: RedisServer) -> None:
    async def ask() -> object:
        lane = lane_to(server)
        try:
            return await lane.execute_command("PING")
        finally:
            await lane.aclose()

    assert uvloop.run(ask()) == b"PONG"
