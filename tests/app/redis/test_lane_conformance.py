"""What other Redis clients had to learn, asked of ours: each test names the public report that taught it.

A server is real where a real one can be brought into the state; where it cannot (it is full, it is loading, it says
what nobody asked) a scripted one says what a real one says.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import AuthenticationError, BusyLoadingError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from app.deployment import Endpoint
from app.redis import lane as lane_module
from app.redis.away import is_away
from app.redis.clients import Script
from app.redis.lane import RedisLane
from lab.servers.redis import RedisServer
from tests.app.redis.stand_ins import Name, Scripted

OK = b"+OK\r\n"


class Pair:
    """A primary and its copy, which change places as in a planned failover: no connection is cut."""

    def __init__(self, directory: Path) -> None:
        self.primary = RedisServer(directory / "one")
        self.primary.start()
        self.copy = RedisServer(directory / "two", replica_of=self.primary)
        self.copy.start()

    def fail_over(self) -> None:
        with self.copy.client() as new, self.primary.client() as old:
            new.execute_command("REPLICAOF", "NO", "ONE")
            old.execute_command("REPLICAOF", "127.0.0.1", str(self.copy.port))
        self.primary, self.copy = self.copy, self.primary


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.primary.stop()
    pair.copy.stop()


def lane_to(endpoint: Endpoint, password: str | None = None, told: list[str] | None = None) -> RedisLane:
    return RedisLane(endpoint, lambda: password, 0.5, told=None if told is None else told.append)


async def outcome(asked: Any) -> object:
    """The answer, or the error."""
    return (await asyncio.gather(asked, return_exceptions=True))[0]


async def test_after_a_failover_by_name_a_write_finds_the_new_primary(pair: Pair) -> None:
    """redis-rb/redis-client#65, redis/redis-rb#543, alphagov/notifications-utils#1279: READONLY for ever."""
    told: list[str] = []
    async with Name(pair.primary.port) as name:
        lane = lane_to(name.endpoint, told=told)
        await lane.execute_command("SET", "a", 1)
        pair.fail_over()
        name.points_to = pair.primary.port
        assert await lane.execute_command("SET", "a", 2) == b"OK"
        with pair.primary.client() as new:
            assert new.get("a") == b"2"
        assert told == ["READONLY"]
        await lane.aclose()


async def test_a_script_finds_the_new_primary_too(pair: Pair) -> None:
    """Redis 6 wraps the error of a script in one of its own, later servers do not."""
    put = Script("return redis.call('SET', KEYS[1], ARGV[1])")
    async with Name(pair.primary.port) as name:
        lane = lane_to(name.endpoint)
        await put.run(lane, ["a"], 1)
        pair.fail_over()
        name.points_to = pair.primary.port
        assert await put.run(lane, ["a"], 2) == b"OK"
        await lane.aclose()


async def test_a_write_is_sent_again_once_and_told_the_truth_while_the_name_lags(pair: Pair) -> None:
    """The name may lead to the demoted one for some seconds still: then READONLY is the answer, and not a loop."""
    async with Name(pair.primary.port) as name:
        lane = lane_to(name.endpoint)
        await lane.execute_command("SET", "a", 1)
        pair.fail_over()
        with pytest.raises(ReadOnlyError):
            await lane.execute_command("SET", "a", 2)
        assert name.accepted == 2
        await lane.aclose()


async def test_who_is_on_the_line_when_it_is_given_up_still_gets_an_answer(pair: Pair) -> None:
    """A refused write says nothing about the reads around it: they are answered, not lost."""
    async with Name(pair.primary.port) as name:
        lane = lane_to(name.endpoint)
        await lane.execute_command("SET", "a", 1)
        pair.fail_over()
        name.points_to = pair.primary.port
        answers = await asyncio.gather(
            lane.get("a"), lane.execute_command("SET", "a", 2), lane.get("a"), return_exceptions=True
        )
        assert list(answers) == [b"1", b"OK", b"1"]
        await lane.aclose()


async def test_a_store_that_stays_read_only_is_not_connected_to_anew_for_each_write(pair: Pair) -> None:
    """OpenZeppelin/openzeppelin-relayer#813 allows one new connection per window: an outage makes no storm."""
    async with Name(pair.copy.port) as name:
        lane = lane_to(name.endpoint)
        for _ in range(50):
            with pytest.raises(ReadOnlyError):
                await lane.execute_command("SET", "a", 1)
        assert name.accepted <= 3
        await lane.aclose()


async def test_a_line_is_made_anew_at_its_age_without_failing_anybody(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenZeppelin/openzeppelin-relayer#813, redis/lettuce#338: reads alone never hear READONLY, so age must end it."""
    monkeypatch.setattr(lane_module, "MAX_AGE_SECONDS", 0.2)
    async with Name(pair.primary.port) as name:
        lane = lane_to(name.endpoint)
        await lane.execute_command("SET", "a", "before")
        pair.fail_over()
        name.points_to = pair.primary.port
        with pair.primary.client() as new:
            new.set("a", "after")
        for _ in range(100):
            answer = await lane.get("a")
            assert answer in (b"before", b"after")
            await asyncio.sleep(0.01)
        assert answer == b"after"
        assert 2 <= name.accepted <= 8
        await lane.aclose()


async def test_a_line_that_nobody_uses_ends_at_its_age(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that keeps up what it no longer needs holds places of a server that counts them."""
    monkeypatch.setattr(lane_module, "MAX_AGE_SECONDS", 0.1)
    async with Name(pair.primary.port) as name:
        lane = lane_to(name.endpoint)
        await lane.execute_command("PING")
        await asyncio.sleep(0.5)
        assert (name.open, name.accepted) == (0, 2)
        assert await lane.execute_command("PING") == b"PONG"
        await lane.aclose()


async def test_a_line_whose_successor_cannot_be_made_stays(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    """A name that does not resolve for a moment must not cost a connection that serves."""
    monkeypatch.setattr(lane_module, "MAX_AGE_SECONDS", 0.05)
    name = Name(pair.primary.port)
    await name.__aenter__()
    lane = lane_to(name.endpoint)
    await lane.execute_command("SET", "a", 1)
    assert name._server is not None
    name._server.close()  # nobody is accepted any more; who is connected stays
    for _ in range(30):
        assert await lane.get("a") == b"1"
        await asyncio.sleep(0.01)
    await lane.aclose()
    await name.__aexit__()


async def test_an_answer_that_nobody_waits_for_is_never_given_to_the_next() -> None:
    """redis/redis-py#2624, #2665: cancelled commands shifted every later answer by one, to other users."""

    def late(command: list[bytes], _: int) -> bytes:
        return b"$%d\r\n%b\r\n" % (len(command[1]), command[1])

    async with Scripted(late) as server:
        lane = lane_to(server.endpoint)
        await lane.get("warm")
        for number in range(200):
            asked = [asyncio.ensure_future(lane.get(f"{number}-{each}")) for each in range(5)]
            await asyncio.sleep(0)
            for gone in asked[number % 5 :: 2]:
                gone.cancel()
            for each, answer in enumerate(await asyncio.gather(*asked, return_exceptions=True)):
                assert isinstance(answer, asyncio.CancelledError) or answer == f"{number}-{each}".encode()
        await lane.aclose()


async def test_what_nobody_asked_for_ends_the_line() -> None:
    """As above from the other side: a server's word out of turn would be taken for the next command's answer."""

    def twice(_command: list[bytes], number: int) -> bytes:
        return OK + b"$5\r\nother\r\n" if number == 0 else b"$4\r\nmine\r\n"

    async with Scripted(twice) as server:
        lane = lane_to(server.endpoint)
        assert await lane.execute_command("SET", "a", 1) == b"OK"
        await asyncio.sleep(0.05)
        assert await lane.get("mine") == b"mine"
        await lane.aclose()


async def test_a_server_that_is_full_counts_as_away() -> None:
    """redis/redis-py maps `max number of clients reached` to a ConnectionError: no answer, but nobody there."""
    async with Scripted(lambda _command, _number: None, b"-ERR max number of clients reached\r\n") as server:
        lane = lane_to(server.endpoint)
        failed = await outcome(lane.get("a"))
        assert isinstance(failed, RedisError)
        assert is_away(failed)
        await lane.aclose()


async def test_a_server_that_loads_is_asked_again_on_a_new_line_that_logs_in() -> None:
    """redis/redis-py#300, StackExchange.Redis#1913: AUTH was answered LOADING and the line stayed, logged out."""

    def loading(command: list[bytes], number: int) -> bytes:
        if number == 0:
            return b"-LOADING Redis is loading the dataset in memory\r\n"
        return OK if command[0] == b"AUTH" else b"$1\r\n1\r\n"

    async with Scripted(loading) as server:
        lane = lane_to(server.endpoint, password="secret")
        assert isinstance(await outcome(lane.get("a")), BusyLoadingError)
        assert await lane.get("a") == b"1"
        await lane.aclose()


async def test_a_line_that_is_no_longer_logged_in_is_made_anew() -> None:
    """A rotated password ends what the old one opened: NOAUTH on a line that served a moment ago."""

    def rotated(command: list[bytes], number: int) -> bytes:
        if command[0] == b"AUTH":
            return OK
        return b"-NOAUTH Authentication required.\r\n" if number == 0 else b"$1\r\n1\r\n"

    async with Scripted(rotated) as server:
        lane = lane_to(server.endpoint, password="secret")
        assert isinstance(await outcome(lane.get("a")), AuthenticationError)
        assert await lane.get("a") == b"1"
        await lane.aclose()


async def test_a_server_that_does_not_know_passwords_yet_counts_as_away() -> None:
    """redis/lettuce#1152: a node that has just come up refuses AUTH in its own words."""
    said = b"-ERR AUTH <password> called without any password configured for the default user.\r\n"
    async with Scripted(lambda _command, _number: said) as server:
        lane = lane_to(server.endpoint, password="secret")
        failed = await outcome(lane.get("a"))
        assert isinstance(failed, RedisError)
        assert is_away(failed)
        await lane.aclose()


async def test_a_refused_log_in_leaves_no_connection_behind() -> None:
    """redis/node-redis and others leaked a socket for each failed handshake until the server was full."""

    def refusing(_command: list[bytes], _number: int) -> bytes:
        return b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"

    async with Scripted(refusing) as server:
        lane = lane_to(server.endpoint, password="wrong")
        for _ in range(5):
            assert isinstance(await outcome(lane.get("a")), AuthenticationError)
        await asyncio.sleep(0.05)
        assert server.open == 0
        await lane.aclose()


async def test_a_log_in_that_is_not_answered_leaves_no_connection_behind() -> None:
    """The same of silence."""
    async with Scripted(lambda _command, _number: b"") as server:
        lane = RedisLane(server.endpoint, lambda: "secret", 0.1)
        for _ in range(3):
            assert is_away(await outcome(lane.get("a")))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert server.open == 0
        await lane.aclose()


async def test_closing_the_client_is_an_error_for_who_waits_for_the_connection_and_no_cancellation() -> None:
    """A cancelled inner task must not look like the caller's own cancellation (redis/redis-py#2666)."""
    async with Scripted(lambda _command, _number: b"") as server:
        lane = lane_to(server.endpoint, password="secret")
        waiting = asyncio.create_task(lane.execute_command("PING"))
        await asyncio.sleep(0.05)
        await lane.aclose()
        with pytest.raises(RedisConnectionError):
            await waiting
        await asyncio.sleep(0.05)
        assert server.open == 0


async def test_of_several_addresses_one_that_is_gone_does_not_use_up_the_patience(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """valkey-io/valkey-glide#5814: a configuration endpoint names all nodes, and one of them may be dead and silent."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.2", pair.primary.port))
        silent.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())  # its queue is full: a further SYN is not answered
        loop = asyncio.get_running_loop()
        both = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, pair.primary.port))
            for host in ("127.0.0.2", "127.0.0.1")
        ]

        async def resolve(*_: object, **__: object) -> list[Any]:
            return both

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        monkeypatch.setattr(lane_module, "_in_some_order", list)
        lane = lane_to(Endpoint(host="name.invalid", port=pair.primary.port, tls=False))
        assert await lane.execute_command("PING") == b"PONG"
        await lane.aclose()
        for filler in fillers:
            filler.close()


async def test_a_server_that_does_not_read_is_refused_more_before_memory_fills() -> None:
    """redis/lettuce's request queue is bounded for the same reason; here it is the bytes that count."""

    class Deaf(Scripted):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            await asyncio.sleep(60)

    async with Deaf(lambda _command, _number: b"") as server:
        lane = RedisLane(server.endpoint, lambda: None, 30)
        taken = []
        value = b"x" * 256 * 1024
        for _ in range(400):
            taken.append(asyncio.ensure_future(lane.execute_command("SET", "a", value)))
            await asyncio.sleep(0)
            if len(taken) % 10 == 0:
                await asyncio.sleep(0.001)
        refused = [one for one in taken if one.done() and isinstance(one.exception(), RedisConnectionError)]
        assert len(refused) > 200
        await lane.aclose()
        await asyncio.gather(*taken, return_exceptions=True)


async def test_a_store_that_is_full_says_so_and_counts_as_away(tmp_path: Path) -> None:
    """OOM is the server's state, not a mistake of the command; Redis 6 wraps it in a script's error."""
    server = RedisServer(tmp_path, max_memory="3mb", settings=("--maxmemory-policy", "noeviction"))
    server.start()
    lane = lane_to(server.endpoint)
    put = Script("return redis.call('SET', KEYS[1], ARGV[1])")
    failed: object = None
    for number in range(200):
        failed = await outcome(put.run(lane, [f"k{number}"], "x" * 50_000))
        if isinstance(failed, Exception):
            break
    assert isinstance(failed, Exception)
    assert is_away(failed)
    assert await lane.get("k0") is not None
    await lane.aclose()
    server.stop()


async def test_a_script_that_is_wrong_is_an_answer_and_not_away(pair: Pair) -> None:
    """The other side of it: our own mistake must never look like an outage."""
    lane = lane_to(pair.primary.endpoint)
    for wrong in ("return redis.call('NOSUCH')", "return nosuch()", "retrun 1"):
        failed = await outcome(Script(wrong).run(lane, ["a"]))
        assert isinstance(failed, ResponseError)
        assert not is_away(failed)
    await lane.aclose()
