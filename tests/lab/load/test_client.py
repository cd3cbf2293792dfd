"""What a user's client does with a server's refusals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from lab.load import client
from lab.load.client import Client, User
from lab.load.history import History, Sample


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


async def judged(http: aiohttp.ClientSession, answer: Callable[[bytes], bytes]) -> list[str]:
    """What the history says of a write and a read whose server answers with `answer` of what was written."""
    stored = b""

    async def put(request: web.Request) -> web.Response:
        nonlocal stored
        stored = await request.read()
        return web.json_response({})

    async def get(_request: web.Request) -> web.Response:
        return web.Response(body=answer(stored), content_type="application/json")

    app = web.Application()
    app.router.add_put("/v1/me/items/item-0", put)
    app.router.add_get("/v1/me/items/item-0", get)
    async with TestServer(app) as server:
        bases = {"us-west": str(server.make_url("")).rstrip("/")}
        load = Client(bases, "hal9.test", http, History(), 100)
        user = User("u", "us-west", "")
        for route in ("write", "read"):
            await load.ask(user, route, "item-0", "us-west", time.monotonic())
        assert [(s.outcome, s.user) for s in load.history.samples] == [("ok", "u")] * 2
        return load.history.wrong


def changed(**values: object) -> Callable[[bytes], bytes]:
    return lambda stored: json.dumps({**json.loads(stored), **values}).encode()


async def test_a_final_read_that_shows_another_s_item_is_kept_as_wrong(http: aiohttp.ClientSession) -> None:
    async def item(_request: web.Request) -> web.Response:
        return web.json_response({"n": 1, "user": "somebody else", "item": "item-0"})

    app = web.Application()
    app.router.add_get("/v1/me/items/item-0", item)
    async with TestServer(app) as server:
        bases = {"us-west": str(server.make_url("")).rstrip("/")}
        load = Client(bases, "hal9.test", http, History(), 100)
        await load.read_number(User("u", "us-west", "", next_number=2), "item-0")
        assert "another's" in load.history.wrong[0]


async def test_what_was_written_is_not_wrong(http: aiohttp.ClientSession) -> None:
    assert await judged(http, lambda stored: stored) == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (changed(user="somebody else"), "another's"),
        (changed(item="item-1"), "another's"),
        (changed(n=1001), "never written"),
        (changed(n=0), "never written"),
        (changed(n="one"), "never written"),
        (changed(pad=""), "never written"),
        (lambda _: b"garbage", "not an item"),
        (lambda _: b"", "not an item"),
        (lambda _: b"[]", "not an item"),
        (lambda _: b"{}", "another's"),
    ],
)
async def test_a_server_that_mixes_up_or_makes_up_what_it_shows_is_caught(
    http: aiohttp.ClientSession, answer: Callable[[bytes], bytes], said: str
) -> None:
    (found,) = await judged(http, answer)
    assert said in found


@pytest.mark.parametrize(("answers", "held"), [(True, {"u"}), (False, set())])
async def test_a_websocket_counts_once_it_was_answered(
    http: aiohttp.ClientSession, answers: bool, held: set[str]
) -> None:
    ended = asyncio.Event()

    async def live(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if answers:
            await socket.receive()
            await socket.send_str("pong")
        await socket.close()
        ended.set()
        return socket

    app = web.Application()
    app.router.add_get("/v1/live", live)
    async with TestServer(app) as server:
        bases = {"us-west": str(server.make_url("")).rstrip("/")}
        load = Client(bases, "hal9.test", http, History(), 100)
        holding = asyncio.create_task(load.stay_connected(User("u", "us-west", ""), every=0.01))
        await asyncio.wait_for(ended.wait(), 5)
        holding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await holding
        assert load.history.live == held


async def came_of(http: aiohttp.ClientSession, route: str, status: int, late: float = 0) -> Sample:
    """The sample of a request, sent `late` seconds after it was due, whose server says `status` (0: breaks off)."""

    async def answer(request: web.Request) -> web.Response:
        if not status and request.transport is not None:
            request.transport.close()
        return web.json_response({}, status=status or 200)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        bases = {"us-west": str(server.make_url("")).rstrip("/")}
        load = Client(bases, "hal9.test", http, History(), 100)
        await load.ask(User("u", "us-west", ""), route, "item-0", "us-west", time.monotonic() - late)
        (found,) = load.history.samples
        return found


@pytest.mark.parametrize("route", ["read", "me", "list", "session"])
@pytest.mark.parametrize("status", [0, 204, 302, 401, 404, 429, 500, 503])
async def test_a_read_is_good_with_200_alone(http: aiohttp.ClientSession, route: str, status: int) -> None:
    found = await came_of(http, route, status)
    assert (found.status, found.outcome) == (status, "fail")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (201, "ok"),
        (409, "fail"),
        (429, "fail"),
        (500, "indeterminate"),
        (503, "indeterminate"),
        (0, "indeterminate"),
    ],
)
async def test_a_write_is_acknowledged_by_an_answer_alone(
    http: aiohttp.ClientSession, status: int, outcome: str
) -> None:
    assert (await came_of(http, "write", status)).outcome == outcome


@pytest.mark.parametrize("route", ["me", "write"])
async def test_latency_counts_from_when_a_request_was_due(http: aiohttp.ClientSession, route: str) -> None:
    assert 2.5 <= (await came_of(http, route, 200, late=2.5)).seconds < 5
