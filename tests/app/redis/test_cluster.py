from __future__ import annotations

import pytest
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from app.redis.clients import RedisClients, Script
from app.redis.cluster import RedisClusterLanes
from lab.servers.redis import RedisServer
from tests.app.fixtures_redis import Document, RedisRegions

ADD = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")


def holder(regions: RedisRegions, slot: int) -> RedisServer:
    servers = regions.caches["us-west"].servers
    return servers[next(n for n in range(3) if 16384 * n // 3 <= slot < 16384 * (n + 1) // 3)]


def lanes_of(clients: RedisClients) -> RedisClusterLanes:
    lanes = clients.cache("us-west")
    assert isinstance(lanes, RedisClusterLanes)
    return lanes


async def test_every_key_finds_its_node(redis_document: Document) -> None:
    clients = RedisClients(redis_document())
    lanes = lanes_of(clients)
    for number in range(100):
        await lanes.execute_command("SET", f"key:{number}", number)
    assert [await lanes.execute_command("GET", f"key:{number}") for number in range(100)] == [
        str(number).encode() for number in range(100)
    ]
    assert len(await lanes.nodes()) == 3
    await clients.close()


async def test_a_script_goes_to_its_key_and_is_sent_in_full_once(redis_document: Document) -> None:
    clients = RedisClients(redis_document())
    lanes = lanes_of(clients)
    assert [await ADD.run(lanes, [f"n:{number}"], 2) for number in range(20)] == [2] * 20
    await clients.close()


async def test_an_error_of_the_command_is_passed_on(redis_document: Document) -> None:
    clients = RedisClients(redis_document())
    lanes = lanes_of(clients)
    await lanes.execute_command("SET", "text", "abc")
    with pytest.raises(ResponseError, match="not an integer"):
        await lanes.execute_command("INCR", "text")
    await clients.close()


async def test_a_slot_that_moves_is_followed_while_it_moves_and_after(
    redis_document: Document, redis_regions: RedisRegions
) -> None:
    clients = RedisClients(redis_document())
    lanes = lanes_of(clients)
    key = "moving"
    slot = key_slot(key.encode())
    source = holder(redis_regions, slot)
    target = next(server for server in redis_regions.caches["us-west"].servers if server is not source)
    await lanes.execute_command("SET", "elsewhere", 1)
    with source.client() as one, target.client() as two:
        source_id, target_id = (client.execute_command("CLUSTER", "MYID").decode() for client in (one, two))
        try:
            two.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
            one.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
            await lanes.execute_command("SET", key, "asked")  # answered by ASK
            assert await lanes.execute_command("GET", key) == b"asked"
            for server in redis_regions.caches["us-west"].servers:
                with server.client() as client:
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target_id)
            assert await lanes.execute_command("GET", key) == b"asked"  # answered by MOVED
        finally:
            two.delete(key)
            for server in redis_regions.caches["us-west"].servers:
                with server.client() as client:
                    client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", source_id)
    await clients.close()


async def test_a_dead_node_fails_its_keys_alone_and_at_once(
    redis_document: Document, redis_regions: RedisRegions
) -> None:
    clients = RedisClients(redis_document())
    lanes = lanes_of(clients)
    await lanes.execute_command("SET", "warm", 1)
    redis_regions.caches["us-west"].servers[0].kill()
    good = bad = 0
    for number in range(60):
        try:
            await lanes.execute_command("SET", f"key:{number}", 1)
            good += 1
        except RedisConnectionError:
            bad += 1
    assert good > 20
    assert bad > 5
    await clients.close()
