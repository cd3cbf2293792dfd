"""Two versions of the app over one L2: what one writes and the other cannot read is a miss, counted, never an error."""

from __future__ import annotations

import time

import msgspec
import pytest

from app.cache import DistributedCache, records
from app.redis.clients import RedisClients
from tests.app.cache.conftest import MakeCache
from tests.app.cache.source import Source, until
from tests.app.fixtures_redis import Document


class Old(msgspec.Struct, frozen=True):
    id: int


class New(msgspec.Struct, frozen=True):
    """As the next version has it: a field more, which must be there."""

    id: int
    email: str


async def test_versions_side_by_side_answer_every_read_and_see_each_others_invalidations(make_cache: MakeCache) -> None:
    old, new = await make_cache(), await make_cache()
    sources = {old: Source(Old(0)), new: Source(New(0, "a@b"))}
    for number in range(5):
        sources[old].value, sources[new].value = Old(number), New(number, "a@b")
        await (old if number % 2 else new).invalidate("user:1")
        for _ in range(2):
            assert await old.get_or_load("user:1", sources[old].load, Old) == Old(number)
            assert await new.get_or_load("user:1", sources[new].load, New) == New(number, "a@b")
    assert sources[old].loads == sources[new].loads == 5  # once each for a change; L1 has it then


async def test_the_same_type_is_found_by_a_process_of_another_start(make_cache: MakeCache) -> None:
    first, second, source = await make_cache(), await make_cache(), Source(Old(1))
    for cache in (first, second):
        assert await cache.get_or_load("user:1", source.load, Old) == Old(1)
    assert source.loads == 1


def value_record(payload: bytes, schema: bytes) -> bytes:
    return b"V" + int((time.time() + 3600) * 1000).to_bytes(8, "big") + schema + payload


WRONG = {
    "what another version wrote": value_record(msgspec.msgpack.encode({"name": "x"}), b"old!"),
    "what ours did not write so": value_record(msgspec.msgpack.encode({"name": "x"}), records.schema_of(Old)),
    "no msgpack": value_record(b"\xc1", records.schema_of(Old)),
    "no schema": value_record(b"", b""),
    "no time": b"V",
    "of no kind": b"?" * 40,
    "nothing": b"",
    "an invalidation whose floors nobody knows": b"I" + bytes(16) + b"\x00\x02\xc1\xc1",
}


@pytest.mark.parametrize("record", WRONG.values(), ids=WRONG.keys())
async def test_a_record_that_cannot_be_read_is_a_miss_and_written_over(
    make_cache: MakeCache, redis_document: Document, record: bytes
) -> None:
    cache, source = await make_cache(), Source(Old(7))
    clients = RedisClients(redis_document("us-west"))
    await clients.cache("us-west").execute_command("SET", records.PREFIX + "user:1", record, "PX", 60_000)
    assert await cache.get_or_load("user:1", source.load, Old) == Old(7)
    await clients.close()
    assert source.loads == 1
    if not record.startswith(b"I"):
        other = await make_cache()
        assert await other.get_or_load("user:1", source.load, Old) == Old(7)
        assert source.loads == 1


@pytest.mark.parametrize("record", list(WRONG.values())[:3], ids=list(WRONG)[:3])
async def test_what_cannot_be_read_is_counted(make_cache: MakeCache, redis_document: Document, record: bytes) -> None:
    cache, source = await make_cache(), Source(Old(7))
    clients = RedisClients(redis_document("us-west"))
    await clients.cache("us-west").execute_command("SET", records.PREFIX + "user:1", record, "PX", 60_000)
    await clients.close()
    await cache.get_or_load("user:1", source.load, Old)
    assert cache.sample().unreadable == cache.stats.unreadable == 1


async def test_a_message_that_cannot_be_read_empties_l1_and_the_feed_goes_on(
    make_cache: MakeCache, redis_document: Document
) -> None:
    cache, source = await make_cache(), Source(Old(7))
    await cache.get_or_load("user:1", source.load, Old)
    assert cache.stats.l1_entries == 1
    clients = RedisClients(redis_document("us-west"))
    for feed in cache._coherence._feeds.values():
        node = clients.cache_node("us-west", feed._host, feed._port)
        await node.publish(records.CHANNEL + feed.node, b"\xffa later version's")
        await node.aclose()
    await clients.close()
    await until(lambda: cache.stats.l1_entries == 0)
    await _still_hears(cache, source)


async def _still_hears(cache: DistributedCache, source: Source) -> None:
    await until(lambda: cache.trusted)
    reach = await cache.invalidate("user:1")
    assert reach.here
    source.value = Old(8)
    assert await cache.get_or_load("user:1", source.load, Old) == Old(8)
