from __future__ import annotations

import asyncio
import uuid
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.databases.databases import Databases, KeyReused
from app.databases.floor import Floor
from app.items import (
    ABSENT,
    MAX_KEY_BYTES,
    PRESENT,
    InvalidKey,
    Item,
    ItemRepository,
    NoSuchUser,
    PreconditionFailed,
    QuotaReached,
    Written,
    check_key,
    etag,
    version_of,
)
from app.users import UserRepository


@pytest.fixture
def items(databases: Databases) -> ItemRepository:
    return ItemRepository(databases)


@pytest.fixture
async def user(databases: Databases) -> UUID:
    registered, _ = await UserRepository(databases).register("us-west")
    return registered.id


async def kept(items: ItemRepository, user: UUID, key: str, floor: Floor | None = None) -> Item:
    """The item under a key that there is."""
    item = await items.get(user, key, floor)
    assert item is not None
    return item


async def test_an_item_is_read_as_it_was_written(items: ItemRepository, user: UUID) -> None:
    written = await items.put(user, "note", b'{"a":1}')
    item = await kept(items, user, "note", written.floor)
    assert written.created
    assert (item.value, item.content_type, item.version) == (b'{"a":1}', "application/json", written.version)
    assert version_of(item.etag) == written.version


async def test_a_missing_item_is_none(items: ItemRepository, user: UUID) -> None:
    assert await items.get(user, "nothing") is None


async def test_any_bytes_are_kept(items: ItemRepository, user: UUID) -> None:
    value = bytes(range(256)) * 100
    written = await items.put(user, "blob", value, "application/octet-stream")
    item = await kept(items, user, "blob", written.floor)
    assert (item.value, item.content_type) == (value, "application/octet-stream")


async def test_versions_grow_and_are_not_reused_after_a_delete(items: ItemRepository, user: UUID) -> None:
    versions = [(await items.put(user, "a", b"1")).version for _ in range(3)]
    await items.delete(user, "a")
    versions.append((await items.put(user, "a", b"1")).version)
    assert versions == sorted(set(versions))


async def test_a_write_at_the_expected_version_succeeds_and_at_another_changes_nothing(
    items: ItemRepository, user: UUID
) -> None:
    first = await items.put(user, "a", b"1")
    second = await items.put(user, "a", b"2", expected=[first.version])
    with pytest.raises(PreconditionFailed):
        await items.put(user, "a", b"3", expected=[first.version])
    item = await kept(items, user, "a", second.floor)
    assert (item.value, item.version) == (b"2", second.version)


async def test_any_of_several_expected_versions_will_do(items: ItemRepository, user: UUID) -> None:
    first = await items.put(user, "a", b"1")
    await items.put(user, "a", b"2", expected=[first.version, 5])


async def test_an_item_expected_absent_is_made_once(items: ItemRepository, user: UUID) -> None:
    outcomes = await asyncio.gather(
        *(items.put(user, "a", b"%d" % n, expected=[ABSENT]) for n in range(6)), return_exceptions=True
    )
    assert sum(isinstance(outcome, PreconditionFailed) for outcome in outcomes) == 5


async def test_an_item_expected_present_is_not_made(items: ItemRepository, user: UUID) -> None:
    with pytest.raises(PreconditionFailed):
        await items.put(user, "a", b"1", expected=[PRESENT])
    await items.put(user, "a", b"1")
    await items.put(user, "a", b"2", expected=[PRESENT])


async def test_no_expected_version_is_never_met(items: ItemRepository, user: UUID) -> None:
    with pytest.raises(PreconditionFailed):
        await items.put(user, "a", b"1", expected=[])


async def test_writers_that_compare_lose_no_update(items: ItemRepository, user: UUID) -> None:
    await items.put(user, "n", b"0")

    async def increment() -> None:
        while True:
            item = await kept(items, user, "n")
            try:
                await items.put(user, "n", b"%d" % (int(item.value) + 1), expected=[item.version])
            except PreconditionFailed:
                continue
            return

    await asyncio.gather(*(increment() for _ in range(8)))
    assert (await kept(items, user, "n")).value == b"8"


async def test_a_delete_tells_whether_there_was_something(items: ItemRepository, user: UUID) -> None:
    await items.put(user, "a", b"1")
    assert [(await items.delete(user, "a")).deleted for _ in range(2)] == [True, False]


async def test_a_delete_at_another_version_changes_nothing(items: ItemRepository, user: UUID) -> None:
    written = await items.put(user, "a", b"1")
    with pytest.raises(PreconditionFailed):
        await items.delete(user, "a", expected=[written.version + 1])
    assert await items.get(user, "a", written.floor) is not None


async def test_the_same_key_and_request_give_the_first_answer(items: ItemRepository, user: UUID) -> None:
    first = await items.put(user, "a", b"1", idempotency_key="k")
    await items.put(user, "a", b"2")
    again = await items.put(user, "a", b"1", idempotency_key="k")
    assert (again.replayed, again.version, again.created) == (True, first.version, True)
    assert (await kept(items, user, "a", again.floor)).value == b"2"


async def test_the_same_key_for_another_request_is_refused(items: ItemRepository, user: UUID) -> None:
    await items.put(user, "a", b"1", idempotency_key="k")
    with pytest.raises(KeyReused):
        await items.put(user, "a", b"2", idempotency_key="k")
    with pytest.raises(KeyReused):
        await items.delete(user, "a", idempotency_key="k")


async def test_a_failed_precondition_is_judged_anew_under_the_same_key(items: ItemRepository, user: UUID) -> None:
    with pytest.raises(PreconditionFailed):
        await items.put(user, "a", b"1", expected=[PRESENT], idempotency_key="k")
    await items.put(user, "a", b"0")
    assert not (await items.put(user, "a", b"1", expected=[PRESENT], idempotency_key="k")).replayed


async def test_keys_of_two_users_do_not_meet(items: ItemRepository, user: UUID, databases: Databases) -> None:
    other, _ = await UserRepository(databases).register("us-west")
    await items.put(user, "a", b"1", idempotency_key="k")
    written = await items.put(other.id, "a", b"2", idempotency_key="k")
    assert not written.replayed
    assert (await kept(items, user, "a")).value == b"1"


async def test_a_user_who_is_not_registered_has_no_items(items: ItemRepository) -> None:
    with pytest.raises(NoSuchUser):
        await items.put(uuid.uuid4(), "a", b"1")


async def test_pages_cover_every_item_once_in_order(items: ItemRepository, user: UUID) -> None:
    keys = ["B", "a", "aa", "b", "é", "日本", "0"]
    for key in keys:
        written = await items.put(user, key, b"1")
    seen, after = [], ""
    while True:
        page = await items.list(user, after, limit=3, floor=written.floor)
        seen += [item.key for item in page.items]
        if page.after is None:
            break
        after = page.after
    assert seen == sorted(keys)


async def test_a_last_full_page_is_the_end(items: ItemRepository, user: UUID) -> None:
    for key in ("a", "b"):
        written = await items.put(user, key, b"1")
    assert (await items.list(user, limit=2, floor=written.floor)).after is None


async def test_a_user_without_items_has_one_empty_page(items: ItemRepository, user: UUID) -> None:
    page = await items.list(user)
    assert (page.items, page.after) == ((), None)


async def test_a_prefix_narrows_the_listing_and_is_no_pattern(items: ItemRepository, user: UUID) -> None:
    for key in ("a%1", "a%2", "ab"):
        written = await items.put(user, key, b"1")
    page = await items.list(user, prefix="a%", floor=written.floor)
    assert [item.key for item in page.items] == ["a%1", "a%2"]


@pytest.mark.parametrize("key", ["", ".", "..", "a\0b", "\n", "x" * 513, "é" * 257, "\ud800", "\x7f"])
async def test_what_cannot_be_a_key_is_refused_before_postgres_sees_it(
    items: ItemRepository, user: UUID, key: str
) -> None:
    for call in (items.get(user, key), items.put(user, key, b""), items.delete(user, key)):
        with pytest.raises(InvalidKey):
            await call


@given(st.text(min_size=1, max_size=100))
def test_every_text_is_a_key_or_refused(key: str) -> None:
    try:
        assert check_key(key) == key
    except InvalidKey:
        assert (
            key in (".", "..")
            or any(ord(character) < 32 or 127 <= ord(character) < 160 for character in key)
            or len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES
            or any(0xD800 <= ord(character) < 0xE000 for character in key)
        )


@given(st.integers(1, 2**63 - 1))
def test_an_etag_names_its_version(version: int) -> None:
    assert version_of(etag(version)) == version


@pytest.mark.parametrize(
    "tag", ["", '""', "abc", '"zz"', 'W/"1"', '"0"', '"01"', '"-1"', '"1_0"', f'"{2**63:x}"', '" 1"']
)
def test_an_etag_that_is_not_ours_matches_nothing(tag: str) -> None:
    assert version_of(tag) is None


async def test_registering_twice_keeps_the_first(databases: Databases) -> None:
    users = UserRepository(databases)
    first, _ = await users.register("eu-central")
    again, floor = await users.register("us-west", first.id)
    assert again == first
    assert await users.get(first.id, floor) == first


async def test_a_new_user_lives_on_a_shard_of_their_region(databases: Databases) -> None:
    user, _ = await UserRepository(databases).register("ap-south")
    assert databases.shards.map.shard_for(user.id).home == "ap-south"


async def test_a_user_has_so_many_items_and_no_more_however_many_are_written_at_once(
    databases: Databases, user: UUID
) -> None:
    few = ItemRepository(databases, most=5)
    outcomes = await asyncio.gather(*(few.put(user, f"k{n}", b"1") for n in range(12)), return_exceptions=True)
    assert sum(isinstance(outcome, QuotaReached) for outcome in outcomes) == 7
    assert all(isinstance(outcome, QuotaReached | Written) for outcome in outcomes)


async def test_at_the_quota_what_is_there_can_be_changed_and_deleted_and_makes_room(
    databases: Databases, user: UUID
) -> None:
    few = ItemRepository(databases, most=2)
    await few.put(user, "a", b"1")
    await few.put(user, "b", b"1", idempotency_key="b")
    assert not (await few.put(user, "a", b"2")).created
    assert (await few.put(user, "b", b"1", idempotency_key="b")).replayed
    with pytest.raises(QuotaReached):
        await few.put(user, "c", b"1")
    with pytest.raises(PreconditionFailed):
        await few.put(user, "a", b"3", expected=[ABSENT])
    await few.delete(user, "a")
    assert (await few.put(user, "c", b"1")).created


async def test_a_replay_is_answered_though_its_item_is_gone_and_the_quota_is_reached(
    databases: Databases, user: UUID
) -> None:
    few = ItemRepository(databases, most=1)
    await few.put(user, "a", b"1", idempotency_key="first")
    await few.delete(user, "a")
    await few.put(user, "b", b"1")
    assert (await few.put(user, "a", b"1", idempotency_key="first")).replayed


async def test_the_quota_of_one_is_not_another_s(databases: Databases, user: UUID) -> None:
    few = ItemRepository(databases, most=1)
    await few.put(user, "a", b"1")
    other, _ = await UserRepository(databases).register("us-west")
    assert (await few.put(other.id, "a", b"1")).created
    with pytest.raises(NoSuchUser):
        await few.put(uuid.uuid4(), "a", b"1")
