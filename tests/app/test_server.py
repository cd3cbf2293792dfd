"""The whole app as a process on real servers: what its users, its operators and its attackers see."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import websockets
from redis.crc import key_slot
from websockets.asyncio.client import connect

from app.deployment import Deployment, LimitConfig, ServerConfig
from lab import alone
from lab.alone import Alone, ask
from lab.servers.process import Process, ProcessError, free_port
from lab.servers.redis import RedisServer
from tests.app.redis.stand_ins import Name

pytestmark = pytest.mark.usefixtures("app")

LIMITS = LimitConfig(user_rate=5000, user_burst=5000, global_rate=50_000, global_burst=50_000)
QUICK = ServerConfig(drain_delay_seconds=0.5, drain_timeout_seconds=3)


@pytest.fixture(scope="module")
def region() -> Iterator[Alone]:
    with alone.servers(server=QUICK, limits=LIMITS) as region:
        yield region


@pytest.fixture(scope="module")
def app(region: Alone) -> Iterator[Process]:
    process = alone.app_process(region)
    process.start(lambda: alone.answers(f"http://127.0.0.1:{region.document.server.port}/readyz"))
    yield process
    process.stop()


@pytest.fixture
def user(region: Alone) -> str:
    return alone.register(region)


@pytest.fixture
def cookie(region: Alone, user: str) -> str:
    return alone.sign_in(region, user)


@pytest.fixture
def second(region: Alone, tmp_path: Path) -> Iterator[Callable[..., tuple[Alone, Process]]]:
    """Starts a further app process on the same servers, with changes to its document."""
    started: list[Process] = []

    def start(**changes: Any) -> tuple[Alone, Process]:
        server = msgspec.structs.replace(region.document.server, port=free_port(), metrics_port=free_port())
        document = msgspec.structs.replace(region.document, **{"server": server, **changes})
        other = Alone(**{**vars(region), "document": document, "path": tmp_path / f"document-{len(started)}.json"})
        other.path.write_bytes(document.encode())
        process = alone.app_process(other)
        process.start(lambda: alone.answers(f"http://127.0.0.1:{server.port}/readyz"))
        started.append(process)
        return other, process

    yield start
    for process in started:
        process.stop()


def kind(body: bytes) -> str:
    return str(json.loads(body)["type"]).removeprefix("urn:hal9:problem:")


def get(region: Alone, path: str, cookie: str = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
    return send(region, "GET", path, None, cookie, **headers)


def send(
    region: Alone, method: str, path: str, body: bytes | None, cookie: str = "", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if cookie:
        sent["Cookie"] = cookie
    request = urllib.request.Request(
        f"http://127.0.0.1:{region.document.server.port}{path}", data=body, headers=sent, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def put(region: Alone, cookie: str, key: str, value: object, **headers: str) -> tuple[int, dict[str, str], bytes]:
    body = json.dumps(value).encode()
    return send(region, "PUT", f"/v1/me/items/{key}", body, cookie, **{"Content_Type": "application/json", **headers})


def metric(region: Alone, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{region.document.server.metrics_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


# A user's day


def test_a_user_registers_logs_in_writes_reads_and_leaves(region: Alone, user: str, cookie: str) -> None:
    status, _, body = ask(region, "GET", "/v1/me", cookie=cookie)
    assert (status, json.loads(body)["id"], json.loads(body)["region"]) == (200, user, "us-west")
    status, headers, _ = put(region, cookie, "answer", 42)
    assert status == 201
    status, found, body = get(region, "/v1/me/items/answer", cookie)
    assert (status, body, found["etag"]) == (200, b"42", headers["etag"])
    assert ask(region, "DELETE", "/v1/me/items/answer", cookie=cookie)[0] == 204
    assert get(region, "/v1/me/items/answer", cookie)[0] == 404
    assert ask(region, "DELETE", "/v1/session", cookie=cookie)[0] == 204
    status, _, body = get(region, "/v1/me", cookie)
    assert (status, kind(body)) == (401, "session-ended")


def test_the_session_can_be_looked_at_without_its_id(region: Alone, user: str, cookie: str) -> None:
    status, _, body = get(region, "/v1/session", cookie)
    assert (status, json.loads(body)["userId"]) == (200, user)
    assert cookie.partition("=")[2].encode() not in body


def test_the_cookie_is_of_this_host_alone_and_out_of_reach_of_scripts(region: Alone, user: str) -> None:
    _, headers, _ = ask(region, "POST", "/v1/sessions", bearer=region.identity.token(user))
    name, *attributes = headers["set-cookie"].split("; ")
    assert name.startswith("__Host-")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(attributes)
    assert any(attribute.startswith("SameSite=") for attribute in attributes)


def test_a_log_in_ends_the_session_that_came_along(region: Alone, user: str, cookie: str) -> None:
    token = region.identity.token(user)
    status, headers, _ = send(region, "POST", "/v1/sessions", b"", cookie, Authorization=f"Bearer {token}")
    fresh = headers["set-cookie"].partition(";")[0]
    assert (status, fresh == cookie) == (201, False)
    assert get(region, "/v1/session", cookie)[0] == 401
    assert get(region, "/v1/session", fresh)[0] == 200


def test_one_key_registers_one_user(region: Alone) -> None:
    body = b'{"region": "us-west"}'
    headers = {
        "Authorization": f"Bearer {region.identity.service_token()}",
        "Content_Type": "application/json",
        "Idempotency_Key": uuid4().hex,
    }
    first, again = (json.loads(send(region, "POST", "/v1/users", body, **headers)[2]) for _ in range(2))
    assert first == again


def test_users_cannot_see_each_others_items(region: Alone, cookie: str) -> None:
    put(region, cookie, "mine", 1)
    other = alone.sign_in(region, alone.register(region))
    assert get(region, "/v1/me/items/mine", other)[0] == 404


# Items


def test_items_are_listed_by_key_in_pages_without_their_values(region: Alone, cookie: str) -> None:
    for key in ("b/2", "a", "b/1", "b/3"):
        put(region, cookie, urllib.parse.quote(key, safe=""), key)
    status, _, body = get(region, "/v1/me/items?limit=2&prefix=b%2F", cookie)
    page = json.loads(body)
    assert (status, [item["key"] for item in page["items"]], page["after"]) == (200, ["b/1", "b/2"], "b/2")
    assert page["items"][0]["size"] == len(json.dumps("b/1"))
    _, _, body = get(region, "/v1/me/items?limit=2&prefix=b%2F&after=b%2F2", cookie)
    rest = json.loads(body)
    assert ([item["key"] for item in rest["items"]], rest["after"]) == (["b/3"], None)


def test_a_write_for_another_version_is_refused(region: Alone, cookie: str) -> None:
    _, headers, _ = put(region, cookie, "k", 1)
    assert put(region, cookie, "k", 2, If_None_Match="*")[0] == 412
    assert put(region, cookie, "k", 2, If_Match=headers["etag"])[0] == 200
    status, _, body = put(region, cookie, "k", 3, If_Match=headers["etag"])
    assert (status, kind(body)) == (412, "precondition")
    assert send(region, "DELETE", "/v1/me/items/k", None, cookie, If_Match=headers["etag"])[0] == 412
    assert get(region, "/v1/me/items/k", cookie)[2] == b"2"


def test_a_client_that_has_the_version_is_told_so(region: Alone, cookie: str) -> None:
    _, headers, _ = put(region, cookie, "k", 1)
    status, found, body = get(region, "/v1/me/items/k", cookie, If_None_Match=headers["etag"])
    assert (status, found["etag"], body) == (304, headers["etag"], b"")


def test_a_write_sent_twice_under_one_key_is_done_once(region: Alone, cookie: str) -> None:
    key = uuid4().hex
    first = put(region, cookie, "k", 1, Idempotency_Key=key)
    put(region, cookie, "k", 2)
    again = put(region, cookie, "k", 1, Idempotency_Key=key)
    assert (again[0], again[1]["etag"]) == (first[0], first[1]["etag"])
    assert again[1]["idempotent-replayed"] == "true"
    assert get(region, "/v1/me/items/k", cookie)[2] == b"2"
    status, _, body = put(region, cookie, "k", 3, Idempotency_Key=key)
    assert (status, kind(body)) == (422, "idempotency-key-reused")


def test_an_item_keeps_its_media_type_and_runs_nowhere(region: Alone, cookie: str) -> None:
    page = b"<script>alert(1)</script>"
    send(region, "PUT", "/v1/me/items/page", page, cookie, Content_Type="text/html")
    _, headers, body = get(region, "/v1/me/items/page", cookie)
    assert (headers["content-type"], body) == ("text/html", page)
    assert "sandbox" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


# What is refused


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "problem"),
    [
        ("PUT", "/v1/me/items/k", b"{", {"Content_Type": "application/json"}, 400, "json"),
        ("PUT", "/v1/me/items/k", b"1", {"Content_Type": "nonsense"}, 415, "media-type"),
        ("PUT", "/v1/me/items/k", b" " * 262_145, {"Content_Type": "text/plain"}, 413, "body-too-large"),
        ("PUT", "/v1/me/items/a%00b", b"1", {"Content_Type": "text/plain"}, 400, "key"),
        ("PUT", "/v1/me/items/" + "a" * 513, b"1", {"Content_Type": "text/plain"}, 400, "key"),
        ("GET", "/v1/me/items/a%00b", None, {}, 400, "key"),
        ("GET", "/v1/me/items/%ff", None, {}, 400, "path"),
        ("GET", "/v1/me/items?limit=0", None, {}, 400, "query"),
        ("GET", "/v1/me/items?limit=x", None, {}, 400, "query"),
        ("GET", "/v1/me/items?after=%00", None, {}, 400, "key"),
        ("GET", "/v1/me/items?prefix=%00", None, {}, 400, "key"),
        ("GET", "/v1/me/items?unknown=1", None, {}, 400, "query"),
        ("PUT", "/v1/me/items/k", b"1", {"Content_Type": "text/plain", "If_Match": "x"}, 400, "condition"),
        (
            "PUT",
            "/v1/me/items/k",
            b"1",
            {"Content_Type": "text/plain", "Idempotency_Key": "a b"},
            400,
            "idempotency-key",
        ),
        ("GET", "/v1/me/items/k", None, {"If_None_Match": "x"}, 400, "condition"),
        ("GET", "/v1/me", None, {"X_Big": "a" * 65_536}, 431, "headers-too-large"),
        ("PATCH", "/v1/me", None, {}, 405, "method"),
        ("GET", "/v2", None, {}, 404, "no-such-path"),
    ],
)
def test_bad_input_of_a_signed_in_user_has_an_answer_with_the_reason(
    region: Alone,
    cookie: str,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
    problem: str,
) -> None:
    if path == "/v1/me/items/k" and method == "GET":
        put(region, cookie, "k", 1)
    found, answered, text = send(region, method, path, body, cookie, **headers)
    assert (found, kind(text)) == (status, problem), text
    assert json.loads(text)["requestId"] == answered["x-request-id"]


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"{", 400, "json"),
        (b"[]", 422, "shape"),
        (b'{"region": 1}', 422, "shape"),
        (b'{"region": "mars"}', 422, "region"),
        (b'{"region": "us-west", "admin": true}', 422, "shape"),
        (b'{"region": "\\ud800"}', 400, "json"),
        (b'{"region": "\\u0000"}', 422, "region"),
    ],
)
def test_a_user_that_cannot_be_registered_is_refused(region: Alone, body: bytes, status: int, problem: str) -> None:
    token = f"Bearer {region.identity.service_token()}"
    found, _, text = send(region, "POST", "/v1/users", body, Authorization=token, Content_Type="application/json")
    assert (found, kind(text)) == (status, problem), text


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        "__Host-session=",
        "__Host-session=short",
        f"__Host-session={'A' * 43}",
        f"__Host-session={'é' * 20}",
        "__Host-session=0b6fd1c2-8d4e-4a57-9d3e-6f1f0b9c2a11",
        "session=" + "A" * 43,
        "__Host-session=" + "A" * 9000,
        ";=;;;=;",
    ],
)
def test_a_forged_cookie_is_no_session(region: Alone, cookie: str) -> None:
    status, _, body = send(region, "GET", "/v1/me", None, cookie.encode().decode("latin-1"))
    assert (status, kind(body)) in {(401, "no-session"), (401, "session-ended")}


@pytest.mark.parametrize(
    ("claims", "problem"),
    [
        ({"exp": 1}, "token-expired"),
        ({"aud": "hal9-service"}, "token-audience"),
        ({"iss": "https://evil.test"}, "token-issuer"),
        ({"sub": "root"}, "token-subject"),
    ],
)
def test_a_wrong_token_opens_no_session(region: Alone, user: str, claims: dict[str, Any], problem: str) -> None:
    status, headers, body = ask(region, "POST", "/v1/sessions", bearer=region.identity.token(user, **claims))
    assert (status, kind(body)) == (401, problem)
    assert headers["www-authenticate"].startswith("Bearer")


def test_a_users_token_registers_nobody(region: Alone, user: str) -> None:
    status, _, body = ask(region, "POST", "/v1/users", {"region": "us-west"}, bearer=region.identity.token(user))
    assert (status, kind(body)) == (401, "token-audience")


def test_a_user_who_is_not_registered_cannot_log_in(region: Alone) -> None:
    status, _, body = ask(region, "POST", "/v1/sessions", bearer=region.identity.token(uuid4()))
    assert (status, kind(body)) == (403, "not-registered")


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /\xff\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
        b"G" * 70_000,
    ],
)
def test_what_is_no_http_is_refused_and_the_next_is_served(region: Alone, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", region.document.server.port), timeout=5) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(100)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert get(region, "/healthz")[0] == 200


# Freshness


def test_a_write_is_read_back_at_once_though_the_replica_stands_still(region: Alone, cookie: str) -> None:
    with _replica_standing_still(region):
        for number in range(20):
            put(region, cookie, "fresh", number)
            assert get(region, "/v1/me/items/fresh", cookie)[2] == str(number).encode()
        _, _, body = get(region, "/v1/me/items?prefix=fresh", cookie)
        assert [item["key"] for item in json.loads(body)["items"]] == ["fresh"]


def test_another_process_never_answers_with_what_was_replaced(
    region: Alone, cookie: str, second: Callable[..., tuple[Alone, Process]]
) -> None:
    other, _ = second()
    for number in range(30):
        put(region, cookie, "shared", number)
        assert get(other, "/v1/me/items/shared", cookie)[2] == str(number).encode()


class _replica_standing_still:
    def __init__(self, region: Alone) -> None:
        self._region = region

    def __enter__(self) -> None:
        self._tell("SELECT pg_wal_replay_pause()")

    def __exit__(self, *_: object) -> None:
        self._tell("SELECT pg_wal_replay_resume()")

    def _tell(self, statement: str) -> None:
        import asyncpg

        async def run() -> None:
            connection = await asyncpg.connect(**self._region.replica.dsn())
            await connection.execute(statement)
            await connection.close()

        asyncio.run(run())


# Sockets


async def test_an_open_socket_is_a_concurrent_user(region: Alone) -> None:
    user = await asyncio.to_thread(alone.register, region)
    cookie = await asyncio.to_thread(alone.sign_in, region, user)
    present, name = "present:{us-west}:users", UUID(user).bytes
    url = f"ws://127.0.0.1:{region.document.server.port}/v1/live"
    async with connect(url, additional_headers={"Cookie": cookie}) as live:
        await live.send("ping")
        assert await live.recv() == "pong"
        with region.cache.servers[key_slot(present.encode()) * 3 // 16384].client() as client:
            for _ in range(50):  # the region is told every two seconds
                if client.zscore(present, name) is not None:
                    break
                await asyncio.sleep(0.2)
            assert client.zscore(present, name) is not None
    assert await asyncio.to_thread(metric, region, "hal9_concurrent_users") >= 1


@pytest.mark.parametrize(("path", "cookie", "status"), [("/v1/live", "a=b", 401), ("/v1/other", "a=b", 404)])
async def test_a_socket_without_a_session_is_refused_with_a_problem(
    region: Alone, path: str, cookie: str, status: int
) -> None:
    url = f"ws://127.0.0.1:{region.document.server.port}{path}"
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with connect(url, additional_headers={"Cookie": cookie}):
            pass
    assert caught.value.response.status_code == status
    assert caught.value.response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("message", "code"), [(b"\x00", 1003), ("x" * 65, 1009), ("hello", 1008)])
async def test_a_socket_takes_nothing_but_a_ping(region: Alone, cookie: str, message: str | bytes, code: int) -> None:
    url = f"ws://127.0.0.1:{region.document.server.port}/v1/live"
    async with connect(url, additional_headers={"Cookie": cookie}) as live:
        await live.send(message)
        with pytest.raises(websockets.ConnectionClosed):
            await live.recv()
    assert live.close_code == code


def log_out(region: Alone, cookie: str) -> None:
    assert send(region, "DELETE", "/v1/session", None, cookie)[0] == 204


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_log_out_ends_a_socket_that_goes_on_asking_within_a_second(
    region: Alone, cookie: str, second: Callable[..., tuple[Alone, Process]], elsewhere: bool
) -> None:
    holds = (await asyncio.to_thread(second))[0] if elsewhere else region
    url = f"ws://127.0.0.1:{holds.document.server.port}/v1/live"
    async with connect(url, additional_headers={"Cookie": cookie}) as live:

        async def ask() -> None:
            while True:
                await live.send("ping")
                await live.recv()
                await asyncio.sleep(0.6)

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await asyncio.to_thread(log_out, region, cookie)
        await asyncio.wait_for(live.wait_closed(), 5)
        assert time.monotonic() - began < 1.5  # a second, and what a shared machine adds
        assert live.close_code == 4401
        await asyncio.gather(asking, return_exceptions=True)


async def test_guessing_cookies_by_sockets_is_limited_as_by_requests(
    second: Callable[..., tuple[Alone, Process]],
) -> None:
    other, _ = await asyncio.to_thread(second, limits=LimitConfig(user_rate=1, user_burst=10))
    url = f"ws://127.0.0.1:{other.document.server.port}/v1/live"
    guess = {"Cookie": "__Host-session=" + "A" * 43, "X-Real-IP": "2001:db8::1"}
    seen = []
    for number in range(20):
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with connect(url, additional_headers={**guess, "X-Real-IP": f"2001:db8::{number:x}"}):
                pass
        seen.append(caught.value.response.status_code)
    assert seen[0] == 401
    assert seen[-1] == 429


# Stores that change


async def test_log_ins_go_on_after_the_session_store_failed_over_by_name(
    region: Alone, second: Callable[..., tuple[Alone, Process]], tmp_path: Path
) -> None:
    """ElastiCache points the name at the new primary and leaves the old connections open, to a replica by now."""
    password = region.sessions.password
    old = RedisServer(tmp_path / "old", password=password)
    old.start()
    new = RedisServer(tmp_path / "new", password=password, replica_of=old)
    new.start()
    async with Name(old.port) as name:
        here = region.document.regions[0]
        moved = msgspec.structs.replace(here, sessions=msgspec.structs.replace(here.sessions, primary=name.endpoint))
        other, _ = await asyncio.to_thread(second, regions=(moved,))
        user = await asyncio.to_thread(alone.register, other)
        cookie = await asyncio.to_thread(alone.sign_in, other, user)
        with new.client() as promoted, old.client() as demoted:
            promoted.execute_command("REPLICAOF", "NO", "ONE")
            demoted.execute_command("REPLICAOF", "127.0.0.1", str(new.port))
        name.points_to = new.port
        await asyncio.sleep(2)  # the heartbeat meets the replica before a user does
        assert await asyncio.to_thread(alone.sign_in, other, user)
        assert (await asyncio.to_thread(put, other, cookie, "a", 1))[0] == 201
        assert await asyncio.to_thread(metric, other, "hal9_session_floors_lost_total") == 0
        assert await asyncio.to_thread(metric, other, "hal9_redis_unfit_answers_total") >= 1
    new.stop()
    old.stop()


# Operations


@pytest.mark.parametrize(
    "name",
    [
        "hal9_concurrent_users",
        "hal9_db_connections_active",
        "hal9_db_connections_max",
        "hal9_cache_hits",
        "hal9_cache_requests",
        "hal9_replica_lag_seconds",
        "hal9_session_key_age_seconds",
        "hal9_breaker_state",
        "hal9_http_requests_total",
    ],
)
def test_the_metrics_port_has_the_metric(region: Alone, name: str) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{region.document.server.metrics_port}/metrics", timeout=5) as answer:
        assert any(line.startswith((f"{name} ", f"{name}{{")) for line in answer.read().decode().splitlines())


def test_the_metrics_are_not_on_the_public_port(region: Alone) -> None:
    assert get(region, "/metrics")[0] == 404


def test_a_second_read_is_a_hit_of_the_cache(region: Alone, cookie: str) -> None:
    put(region, cookie, "warm", 1)
    get(region, "/v1/me/items/warm", cookie)
    before = metric(region, "hal9_cache_hits")
    get(region, "/v1/me/items/warm", cookie)
    assert metric(region, "hal9_cache_hits") == before + 1


def test_a_user_above_the_limit_is_answered_429(user: str, second: Callable[..., tuple[Alone, Process]]) -> None:
    limits = LimitConfig(user_rate=0.2, user_burst=5, global_rate=50_000, global_burst=50_000)
    other, _ = second(limits=limits)
    cookie = alone.sign_in(other, user)
    ends = time.monotonic() + 10
    while (answer := get(other, "/v1/session", cookie))[0] != 429:
        assert time.monotonic() < ends
    assert kind(answer[2]) == "too-many-requests"
    assert int(answer[1]["retry-after"]) >= 1
    assert metric(other, "hal9_limit_denied_total") >= 1


def test_a_log_out_everywhere_ends_every_session_of_the_user(region: Alone, user: str, cookie: str) -> None:
    mine, phone = alone.sign_in(region, user), cookie
    status, headers, _ = send(region, "DELETE", "/v1/sessions", None, mine)
    assert (status, "Max-Age=0" in headers["set-cookie"]) == (204, True)
    assert [get(region, "/v1/session", each)[0] for each in (mine, phone)] == [401, 401]
    assert get(region, "/v1/session", alone.sign_in(region, user))[0] == 200


def test_a_log_out_that_the_store_refused_is_not_acknowledged(
    region: Alone, cookie: str, second: Callable[..., tuple[Alone, Process]]
) -> None:
    """A full store takes no write and answers every read."""
    with region.sessions.client() as client:
        client.config_set("maxmemory", "1")
        try:
            for path in ("/v1/session", "/v1/sessions"):
                status, _, body = send(region, "DELETE", path, None, cookie)
                assert (status, kind(body)) == (503, "log-out-unfinished")
        finally:
            client.config_set("maxmemory", "0")
    ends = time.monotonic() + 20
    while get(second()[0], "/v1/session", cookie)[0] != 401:
        assert time.monotonic() < ends


def test_a_dead_session_store_is_503_and_makes_nobody_unready(region: Alone, cookie: str) -> None:
    region.sessions.process.suspend()
    try:
        status, headers, body = get(region, "/v1/me", cookie)
        assert (status, kind(body)) == (503, "sessions-unavailable")
        assert int(headers["retry-after"]) >= 1
        assert get(region, "/readyz")[0] == 200
        assert get(region, "/healthz")[0] == 200
    finally:
        region.sessions.process.resume()
    ends = time.monotonic() + 10
    while get(region, "/v1/me", cookie)[0] != 200:
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_a_dead_cache_slows_reads_and_fails_none(region: Alone, cookie: str) -> None:
    put(region, cookie, "kept", 7)
    for server in region.cache.servers:
        server.process.suspend()
    try:
        status, _, body = get(region, "/v1/me/items/kept", cookie)
        assert (status, body) == (200, b"7")
    finally:
        for server in region.cache.servers:
            server.process.resume()


def test_neither_cookie_nor_token_nor_password_is_in_the_log(region: Alone, user: str, cookie: str) -> None:
    token = region.identity.token(user)
    ask(region, "POST", "/v1/sessions", bearer=token + "x")
    log = region.path.with_suffix(".log").read_text()
    secrets = [path.read_text() for path in Path(region.document.secrets_directory).iterdir()]
    assert "ready in us-west" in log
    for secret in (cookie.partition("=")[2], token, region.primary.password, *secrets):
        assert secret not in log


# Leaving


def test_sigterm_under_load_fails_no_request_and_closes_sockets(
    cookie: str, second: Callable[..., tuple[Alone, Process]]
) -> None:
    leaving, process = second()
    staying, _ = second()
    outcome = asyncio.run(_rolling_restart([leaving, staying], process, cookie))
    assert outcome.failures == []
    assert outcome.answered > 100
    assert outcome.close_code == 1012
    assert process._child is not None
    assert process._child.wait(10) == 0


class _Outcome(msgspec.Struct):
    answered: int
    failures: list[str]
    close_code: int | None


async def _rolling_restart(both: list[Alone], leaving: Process, cookie: str) -> _Outcome:
    """Keep-alive clients behind a balancer that looks at /readyz, while the first of two processes gets SIGTERM."""
    ports = [each.document.server.port for each in both]
    ready, failures, answered, stop = list(ports), [], 0, asyncio.Event()

    async def balance() -> None:
        while not stop.is_set():
            alive = [p for p in ports if await asyncio.to_thread(alone.answers, f"http://127.0.0.1:{p}/readyz")]
            ready[:] = alive
            await asyncio.sleep(0.05)

    async def client(number: int) -> None:
        nonlocal answered
        request = f"GET /v1/session HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n".encode()
        while not stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", ready[number % len(ready)])
                closing = False
                while not closing and not stop.is_set():
                    writer.write(request)
                    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).lower()
                    await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                    if head.split()[1] != b"200":
                        failures.append(head.decode())
                    closing = b"connection: close" in head
                    answered += 1
                    await asyncio.sleep(0.001)
                writer.close()
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                failures.append(repr(error))

    url = f"ws://127.0.0.1:{ports[0]}/v1/live"
    async with connect(url, additional_headers={"Cookie": cookie}) as live:
        tasks = [asyncio.create_task(balance()), *(asyncio.create_task(client(number)) for number in range(10))]
        await asyncio.sleep(0.5)
        os.kill(leaving.pid, signal.SIGTERM)
        with contextlib.suppress(websockets.ConnectionClosed):
            await asyncio.wait_for(live.recv(), 10)
        await asyncio.sleep(1)
        stop.set()
        await asyncio.gather(*tasks)
    return _Outcome(answered, failures, live.close_code)


# Starting


def run_app(document: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", "--document", str(document)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_document_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    done = run_app(tmp_path / "nothing.json")
    assert done.returncode == 2
    assert "nothing.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_one_clear_line(region: Alone) -> None:
    done = run_app(region.path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert f"port {region.document.server.metrics_port} is in use" in done.stderr


def test_a_session_key_that_is_missing_is_one_clear_line(region: Alone, tmp_path: Path) -> None:
    document: Deployment = msgspec.structs.replace(region.document, secrets_directory=str(tmp_path))
    path = tmp_path / "document.json"
    path.write_bytes(document.encode())
    done = run_app(path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "session-key-k1" in done.stderr


def test_a_process_that_cannot_start_says_why(region: Alone, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text("{}")
    broken = Alone(**{**vars(region), "path": path})
    with pytest.raises(ProcessError, match="region"):
        alone.app_process(broken).start(lambda: False)
