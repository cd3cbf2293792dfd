"""What other clients of a Redis cluster had to learn, asked of ours: each test names the report that taught it.

The nodes are scripted: they say what a real cluster says while it changes, which a real one cannot be held at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, RedisError

from app.redis import cluster as cluster_module
from app.redis.away import is_away
from app.redis.cluster import SLOTS, RedisClusterLanes
from app.redis.lane import RedisLane
from tests.app.redis.stand_ins import Scripted

Host = bytes | None
Layout = list[tuple[int, int, Host, int]]


def slots(layout: Layout) -> bytes:
    """CLUSTER SLOTS' answer."""
    parts = [b"*%d\r\n" % len(layout)]
    for first, last, host, port in layout:
        name = b"$-1\r\n" if host is None else b"$%d\r\n%b\r\n" % (len(host), host)
        parts.append(b"*3\r\n:%d\r\n:%d\r\n*3\r\n%b:%d\r\n$2\r\nid\r\n" % (first, last, name, port))
    return b"".join(parts)


class Node(Scripted):
    """`layout` is what it tells; `says` the answer of every other command, by the number of the connection."""

    def __init__(self, says: Callable[[int], bytes] = lambda _: b"$4\r\nhere\r\n", host: str = "127.0.0.1") -> None:
        super().__init__(lambda command, number: self.told() if command[0] == b"CLUSTER" else says(number), host=host)
        self.layout: Layout = []

    def told(self) -> bytes:
        return slots(self.layout)


def lanes_to(seed: Node) -> RedisClusterLanes:
    return RedisClusterLanes(seed.endpoint, lambda endpoint: RedisLane(endpoint, lambda: None, 0.25))


async def test_a_node_that_was_replaced_behind_its_name_is_found_at_once() -> None:
    """redis/lettuce#3910: the old connection answers MOVED to the name it was reached by; 1.5 million calls failed."""
    async with Node(lambda number: b"$4\r\nhere\r\n" if number else b"-MOVED 1 127.0.0.1:%d\r\n" % node.port) as node:
        node.layout = [(0, SLOTS - 1, b"127.0.0.1", node.port)]
        lanes = lanes_to(node)
        assert await lanes.execute_command("GET", "a") == b"here"
        assert node.accepted == 2
        await lanes.aclose()


async def test_a_circle_of_two_ends_once_the_names_lead_elsewhere() -> None:
    """The same with two stale connections, each of which names the other."""
    one = Node(lambda number: b"$4\r\nhere\r\n" if number else b"-MOVED 1 127.0.0.1:%d\r\n" % two.port)
    two = Node(lambda number: b"$4\r\nhere\r\n" if number else b"-MOVED 1 127.0.0.1:%d\r\n" % one.port)
    async with one, two:
        one.layout = two.layout = [(0, SLOTS - 1, b"127.0.0.1", one.port)]
        lanes = lanes_to(one)
        with pytest.raises(ClusterDownError) as caught:
            await lanes.execute_command("GET", "a")
        assert is_away(caught.value)
        assert await lanes.execute_command("GET", "a") == b"here"
        await lanes.aclose()


async def test_moved_without_a_host_means_the_host_that_was_asked() -> None:
    """redis/lettuce#2290, phpredis/phpredis#2646: not the seed's."""
    target = Node(host="127.0.0.2")
    asked = Node(lambda _: b"-MOVED 1 :%d\r\n" % target.port, host="127.0.0.2")
    async with Node() as seed, target, asked:
        seed.layout = [(0, SLOTS - 1, b"127.0.0.2", asked.port)]
        lanes = lanes_to(seed)
        assert await lanes.execute_command("GET", "a") == b"here"
        assert target.accepted == 1
        await lanes.aclose()


@pytest.mark.parametrize("host", [None, b""])
async def test_a_layout_without_hosts_means_the_node_that_tells_it(host: Host) -> None:
    """whatyouhide/redix#328, ghostdogpr/sage#237: a null host failed the whole layout."""
    async with Node() as node:
        node.layout = [(0, SLOTS - 1, host, node.port)]
        lanes = lanes_to(node)
        assert await lanes.execute_command("GET", "a") == b"here"
        await lanes.aclose()


async def test_a_host_that_nobody_knows_is_no_host() -> None:
    """redis/redis-doc#2420: `?` is a wrong configuration, not a name to resolve."""
    async with Node() as node:
        node.layout = [(0, SLOTS - 1, b"?", node.port)]
        lanes = lanes_to(node)
        with pytest.raises(RedisError) as caught:
            await lanes.execute_command("GET", "a")
        assert is_away(caught.value)
        await lanes.aclose()


async def test_slots_that_nobody_held_for_a_moment_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """valkey-io/valkey-glide#5812: no node for a route asked for no new layout, for minutes."""
    monkeypatch.setattr(cluster_module, "REFRESH_SECONDS", 0.05)
    async with Node() as node:
        slot = key_slot(b"a")
        node.layout = [(0, slot - 1, None, node.port), (slot + 1, SLOTS - 1, None, node.port)]
        lanes = lanes_to(node)
        with pytest.raises(ClusterDownError):
            await lanes.execute_command("GET", "a")
        node.layout = [(0, SLOTS - 1, None, node.port)]
        await asyncio.sleep(0.1)
        assert await lanes.execute_command("GET", "a") == b"here"
        await lanes.aclose()


async def test_a_node_that_was_put_out_is_not_believed_against_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """valkey-io/valkey-glide#5857, redis/redis-py#3917: whoever was known longest told an old layout."""
    monkeypatch.setattr(cluster_module, "REFRESH_SECONDS", 0.0)
    async with Node() as seed, Node() as gone, Node() as new:
        seed.layout = gone.layout = [(0, SLOTS - 1, b"127.0.0.1", gone.port)]
        lanes = lanes_to(seed)
        await lanes.execute_command("GET", "a")
        seed.layout = [(0, SLOTS - 1, b"127.0.0.1", new.port)]
        gone.layout = []  # it was reset, and knows of no slot
        assert await lanes.nodes() == {("127.0.0.1", new.port)}
        await lanes.execute_command("GET", "a")
        assert new.accepted == 1
        await asyncio.sleep(0.05)
        assert gone.open == 0
        await lanes.aclose()


async def test_a_seed_that_is_dead_is_stood_in_for_by_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """valkey-io/valkey-glide#5814: the other way about."""
    monkeypatch.setattr(cluster_module, "REFRESH_SECONDS", 0.0)
    async with Node() as one, Node() as two:
        async with Node() as seed:
            seed.layout = [(0, SLOTS - 1, b"127.0.0.1", one.port)]
            lanes = lanes_to(seed)
            await lanes.execute_command("GET", "a")
        one.layout = [(0, SLOTS - 1, b"127.0.0.1", two.port)]
        assert await lanes.nodes() == {("127.0.0.1", two.port)}
        await lanes.aclose()


async def test_a_node_that_hangs_costs_its_own_keys_alone() -> None:
    """valkey-io/valkey-glide#4990: the failover of one shard stalled all of them for half a minute."""
    async with Node() as good, Node(lambda _: b"") as hung:
        half = SLOTS // 2
        good.layout = [(0, half - 1, None, good.port), (half, SLOTS - 1, b"127.0.0.1", hung.port)]
        lanes = lanes_to(good)
        keys = [f"k{number}" for number in range(200)]
        theirs = [key for key in keys if key_slot(key.encode()) >= half]
        ours = [key for key in keys if key_slot(key.encode()) < half]
        await lanes.execute_command("GET", ours[0])
        stuck = [asyncio.create_task(lanes.execute_command("GET", key)) for key in theirs]
        slowest = 0.0
        for key in ours:
            began = time.monotonic()
            assert await lanes.execute_command("GET", key) == b"here"
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.003)
        assert slowest < 0.15  # far below the patience with the hung one
        outcomes = await asyncio.gather(*stuck, return_exceptions=True)
        assert all(isinstance(failed, RedisError) and is_away(failed) for failed in outcomes)
        await lanes.aclose()


async def test_a_node_that_leaves_still_answers_what_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that is made smaller is no reason to fail what is on its way."""
    monkeypatch.setattr(cluster_module, "REFRESH_SECONDS", 0.0)

    class Slow(Node):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            await reader.read(65536)
            await asyncio.sleep(0.15)
            writer.write(b"$4\r\nlate\r\n")
            await writer.drain()
            await reader.read(65536)

    async with Node() as seed, Slow() as leaving:
        seed.layout = [(0, SLOTS - 1, b"127.0.0.1", leaving.port)]
        lanes = lanes_to(seed)
        waiting = asyncio.create_task(lanes.execute_command("GET", "a"))
        await asyncio.sleep(0.05)
        seed.layout = [(0, SLOTS - 1, None, seed.port)]
        assert await lanes.nodes() == {("127.0.0.1", seed.port)}
        assert await waiting == b"late"
        await lanes.aclose()


async def test_asking_and_its_command_leave_together() -> None:
    """redis/redis-py#1403 and others: a command between the two, or another connection for one of them, is refused."""
    said: list[bytes] = []

    def importing(command: list[bytes], _number: int) -> bytes:
        said.append(command[0])
        return (
            b"+OK\r\n"
            if command[0] == b"ASKING"
            else b"$2\r\n%b\r\n" % (b"in" if said[-2:-1] == [b"ASKING"] else b"no")
        )

    async with Scripted(importing) as target, Node(lambda _: b"-ASK 1 127.0.0.1:%d\r\n" % target.port) as source:
        source.layout = [(0, SLOTS - 1, None, source.port)]
        lanes = lanes_to(source)
        answers = await asyncio.gather(*(lanes.execute_command("GET", "a") for _ in range(20)))
        assert answers == [b"in"] * 20
        await lanes.aclose()
