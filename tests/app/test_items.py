from __future__ import annotations

import pytest

from app.databases import Databases
from app.items import ItemRepository, version_of
from app.users import UserRepository


@pytest.fixture
def items(databases: Databases) -> ItemRepository:
    return ItemRepository(databases)


@pytest.fixture
async def user(databases: Databases):
    registered, _ = await UserRepository(databases).register("us-west")
    return registered.id


async def test_an_item_is_read_as_it_was_written(items, user):
    written = await items.put(user, "note", b'{"a":1}')
    item = await items.get(user, "note", written.floor)
    assert written.created
    assert (item.value, item.content_type, item.version) == (b'{"a":1}', "application/json", written.version)
    assert version_of(item.etag) == written.version


async def test_a_missing_item_is_none(items, user):
    assert await items.get(user, "nothing") is None
