"""What a user's client does with a server's refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from lab.load import client
from lab.load.client import Client, User
from lab.load.history import History


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def final_read(http: aiohttp.ClientSession, refusals: int, retry_after: str = "0.01") -> int | None:
    """What is read of an item of 7 whose server says 503 so many times first."""
    answers = iter([503] * refusals + [200])

    async def item(_request: web.Request) -> web.Response:
        return web.json_response({"n": 7}, status=next(answers), headers={"Retry-After": retry_after})

    app = web.Application()
    app.router.add_get("/v1/me/items/item-0", item)
    async with TestServer(app) as server:
        bases = {"us-west": str(server.make_url("")).rstrip("/")}
        return await Client(bases, "hal9.test", http, History(), 100).read_number(User("u", "us-west", ""), "item-0")


@pytest.mark.parametrize("refusals", [0, 1, 3])
async def test_a_final_read_that_is_refused_is_sent_again_when_the_server_said(
    http: aiohttp.ClientSession, refusals: int
) -> None:
    assert await final_read(http, refusals) == 7


async def test_a_final_read_is_not_sent_again_for_ever(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", 0.2)
    with pytest.raises(aiohttp.ClientResponseError, match="503"):
        await final_read(http, 1000)


async def test_a_final_read_does_not_wait_longer_than_it_may_be_sent_again(http: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientResponseError, match="503"):
        await final_read(http, 1, retry_after="3600")
