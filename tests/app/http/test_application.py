"""The application on a real server: every kind of bad input has an answer with a reason, and none is a 500."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from starlette.types import Receive, Scope, Send

from app import deadlines
from app.databases.databases import DatabaseUnavailable
from app.deployment import ServerConfig
from app.drain import Drain
from app.http.application import Application
from app.http.errors import explain
from app.http.problem import Problem
from app.http.request import MAX_HEADER_BYTES, Request
from app.http.response import Response
from app.http.response import json as answer
from app.http.routing import Access, Answer, Route, Router
from app.http.serve import Port, PortInUse
from app.http.shedding import Shedder
from app.metrics import Metrics
from lab.servers.process import free_port

LIMIT = 1000


class Wish(msgspec.Struct):
    name: str
    count: int = 1


_wishes = msgspec.json.Decoder(Wish)


class Service:
    """A server with routes of a test's own."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.drain = Drain(ServerConfig(), self.metrics)
        self.shedder = Shedder(2, self.metrics)
        self.release = asyncio.Event()
        self.entered = asyncio.Semaphore(0)
        self.address = ("127.0.0.1", free_port())
        routes = [
            ("GET", "/probe", self.hello, Access.PROBE),
            ("GET", "/hello", self.hello, Access.OPEN),
            ("GET", "/slow", self.slow, Access.OPEN),
            ("GET", "/broken", self.broken, Access.OPEN),
            ("GET", "/away", self.away, Access.OPEN),
            ("GET", "/never", self.never, Access.OPEN),
            ("GET", "/left", self.left, Access.OPEN),
            ("GET", "/mine", self.hello, Access.SESSION),
            ("POST", "/wishes", self.wish, Access.OPEN),
            ("PUT", "/things/{key}", self.thing, Access.OPEN),
            ("GET", "/things/{key}", self.thing, Access.OPEN),
        ]
        self.app = Application(
            router=Router(
                [
                    Route(method, path, handler, path, "", access, {200: Answer("")})
                    for method, path, handler, access in routes
                ]
            ),
            admit=self.admit,
            explain=explain,
            live=self.live,
            shedder=self.shedder,
            drain=self.drain,
            metrics=self.metrics,
            max_body_bytes=LIMIT,
            request_timeout=1.0,
        )

    async def admit(self, request: Request, route: Route) -> None:
        if route.access is Access.SESSION and request.cookie(b"__Host-test") != b"yes":
            raise Problem(401, "no-session", "Log in first.")

    async def live(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    async def hello(self, request: Request) -> Response:
        return answer(200, {"id": request.id})

    async def slow(self, _: Request) -> Response:
        self.entered.release()
        await self.release.wait()
        return answer(200, "slow")

    async def broken(self, _: Request) -> Response:
        raise KeyError("a secret that must not be shown")

    async def away(self, _: Request) -> Response:
        raise DatabaseUnavailable("10.0.0.1 refused")

    async def never(self, _: Request) -> Response:
        await asyncio.sleep(60)
        return answer(200, "late")

    async def left(self, _: Request) -> Response:
        return answer(200, deadlines.remaining())

    async def wish(self, request: Request) -> Response:
        return answer(200, await request.decode(_wishes))

    async def thing(self, request: Request) -> Response:
        if "\0" in request.parameter:
            raise Problem(400, "key", "A key has no NUL.")
        return answer(200, {"key": request.parameter, "query": request.query()})

    async def ask(self, raw: bytes) -> Reply:
        """Send bytes as they are and read one answer."""
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(raw)
            return await Reply.read(reader)
        finally:
            writer.close()

    async def get(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Reply:
        head = [f"{method} {target} HTTP/1.1", "Host: test", *headers]
        if body:
            head.append(f"Content-Length: {len(body)}")
        return await self.ask("\r\n".join(head).encode() + b"\r\n\r\n" + body)


class Reply:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> Reply:
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = b""
        if not head[0].endswith(("204 No Content", "304 Not Modified")):
            body = await asyncio.wait_for(reader.readexactly(int(headers.get("content-length", 0))), 5)
        return cls(int(head[0].split()[1]), headers, body)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """The last part of the problem's type, after checking that it is a whole problem."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["status"] == self.status
        assert self.json["title"]
        assert self.json["detail"]
        assert self.json["requestId"] == self.headers["x-request-id"]
        return str(self.json["type"]).removeprefix("urn:hal9:problem:")


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    port = Port(service.app, service.address[1], service.address[0])
    await port.open()
    yield service
    service.release.set()
    await port.close(2)


async def test_an_answer_carries_the_edges_request_id(service: Service) -> None:
    reply = await service.get("/hello", "X-Request-Id: edge-0123456789")
    assert (reply.status, reply.json, reply.headers["x-request-id"]) == (
        200,
        {"id": "edge-0123456789"},
        "edge-0123456789",
    )


@pytest.mark.parametrize("given", ["short", "a" * 65, 'x"; drop', "with space in it"])
async def test_a_request_id_that_is_not_well_formed_is_replaced(service: Service, given: str) -> None:
    reply = await service.get("/hello", f"X-Request-Id: {given}")
    assert reply.headers["x-request-id"] != given
    assert len(reply.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"{", 400, "json"),
        (b"\xff\xfe", 400, "json"),
        (b'{"name": "\xff"}', 400, "json"),
        (b"[" * 900, 422, "shape"),
        (b'{"x":' * 190, 400, "json"),
        (b"", 400, "json"),
        (b"[]", 422, "shape"),
        (b'{"name": 1}', 422, "shape"),
        (b'{"name": "a", "count": "1"}', 422, "shape"),
        (b'{"name": "a", "count": 1e400}', 422, "shape"),
        (b'{"count": 1}', 422, "shape"),
    ],
)
async def test_a_bad_body_is_refused_with_the_reason(service: Service, body: bytes, status: int, kind: str) -> None:
    reply = await service.get("/wishes", "Content-Type: application/json", method="POST", body=body)
    assert (reply.status, reply.kind) == (status, kind), reply.json


async def test_a_shape_is_refused_with_the_place(service: Service) -> None:
    reply = await service.get(
        "/wishes", "Content-Type: application/json; charset=utf-8", method="POST", body=b'{"name": 1}'
    )
    assert "$.name" in reply.json["detail"]


async def test_another_media_type_is_refused(service: Service) -> None:
    reply = await service.get("/wishes", "Content-Type: text/plain", method="POST", body=b"{}")
    assert (reply.status, reply.kind) == (415, "media-type")


async def test_a_body_that_declares_itself_too_large_is_refused_before_it_is_sent(service: Service) -> None:
    reply = await service.ask(
        b"POST /wishes HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 1001\r\n\r\n"
    )
    assert (reply.status, reply.kind) == (413, "body-too-large")


async def test_a_chunked_body_that_grows_too_large_is_refused(service: Service) -> None:
    chunk = b"1f4\r\n" + b" " * 500 + b"\r\n"
    reply = await service.ask(
        b"POST /wishes HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunk * 3
        + b"0\r\n\r\n"
    )
    assert (reply.status, reply.kind) == (413, "body-too-large")


async def test_a_body_that_never_comes_ends_at_the_deadline(service: Service) -> None:
    reply = await service.ask(
        b"POST /wishes HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    )
    assert (reply.status, reply.kind) == (504, "deadline")


@pytest.mark.parametrize("size", [MAX_HEADER_BYTES, 64 * 1024])
async def test_headers_that_are_too_large_are_refused(service: Service, size: int) -> None:
    reply = await service.get("/hello", "X-Big: " + "a" * size)
    assert (reply.status, reply.kind) == (431, "headers-too-large")


@pytest.mark.parametrize(
    ("method", "target", "status", "kind"),
    [
        ("BREW", "/hello", 405, "method"),
        ("DELETE", "/things/a", 405, "method"),
        ("OPTIONS", "*", 404, "no-such-path"),
        ("GET", "/nothing", 404, "no-such-path"),
        ("GET", "/things/", 404, "no-such-path"),
        ("GET", "/things/a/b", 404, "no-such-path"),
        ("GET", "/things/%ff", 400, "path"),
        ("GET", "/things/a%00b", 400, "key"),
        ("GET", "/" + "a" * 3000, 414, "path-too-long"),
        ("GET", "/things/a?x=1&x=2", 400, "query"),
        ("GET", "/things/a?x=%ff", 400, "query"),
    ],
)
async def test_a_bad_target_is_refused_with_the_reason(
    service: Service, method: str, target: str, status: int, kind: str
) -> None:
    reply = await service.get(target, method=method)
    assert (reply.status, reply.kind) == (status, kind)


async def test_a_refused_method_says_which_are_taken(service: Service) -> None:
    assert (await service.get("/things/a", method="PATCH")).headers["allow"] == "GET, HEAD, PUT"


async def test_a_key_is_decoded_once(service: Service) -> None:
    reply = await service.get("/things/a%2Fb%20c%2541%C3%BC?q=%26")
    assert reply.json == {"key": "a/b c%41ü", "query": {"q": "&"}}


async def test_head_has_the_length_and_no_body(service: Service) -> None:
    reader, writer = await asyncio.open_connection(*service.address)
    writer.write(b"HEAD /things/a HTTP/1.1\r\nHost: test\r\n\r\nGET /hello HTTP/1.1\r\nHost: test\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"content-length: 22" in head
    assert (await Reply.read(reader)).status == 200
    writer.close()


async def test_a_mistake_of_ours_shows_nothing_but_the_request_id(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await service.get("/broken")
    assert (reply.status, reply.kind) == (500, "internal")
    assert b"secret" not in reply.body
    assert reply.json["requestId"] in caplog.text


async def test_a_dependency_that_is_away_is_a_problem_without_its_address(service: Service) -> None:
    reply = await service.get("/away")
    assert (reply.status, reply.kind) == (503, "database-unavailable")
    assert b"10.0.0.1" not in reply.body


@pytest.mark.parametrize(("ago", "left"), [(0.0, 1.0), (0.5, 0.5), (0.95, 0.2), (1e9, 0.2), (-60.0, 1.0)])
async def test_what_a_request_has_spent_elsewhere_is_counted_but_for_a_fifth(
    service: Service, ago: float, left: float
) -> None:
    reply = await service.get("/left", f"X-Request-Start: {time.time() - ago:.3f}")
    assert json.loads(reply.body) == pytest.approx(left, abs=0.1)


async def test_a_start_that_is_no_number_counts_for_nothing(service: Service) -> None:
    assert json.loads((await service.get("/left", "X-Request-Start: nan?")).body) == pytest.approx(1.0, abs=0.1)


async def test_a_handler_that_takes_too_long_is_cut_at_the_deadline(service: Service) -> None:
    assert (await service.get("/never")).kind == "deadline"


async def test_what_is_private_is_never_stored(service: Service) -> None:
    assert (await service.get("/mine")).headers["cache-control"] == "private, no-store"
    reply = await service.get("/mine", "Cookie: other=1; __Host-test=yes")
    assert (reply.status, reply.headers["cache-control"]) == (200, "private, no-store")
    assert "cache-control" not in (await service.get("/hello")).headers


async def test_a_cookie_header_that_comes_twice_is_one(service: Service) -> None:
    assert (await service.get("/mine", "Cookie: other=1", "Cookie: __Host-test=yes")).status == 200


async def test_a_full_server_refuses_at_once_and_still_answers_its_probes(service: Service) -> None:
    waiting = [asyncio.create_task(service.get("/slow")) for _ in range(2)]
    for _ in waiting:
        await service.entered.acquire()
    reply = await service.get("/hello")
    assert (reply.status, reply.kind) == (503, "overloaded")
    assert 1 <= int(reply.headers["retry-after"]) <= 3
    assert (await service.get("/probe")).status == 200
    service.release.set()
    assert [(await task).status for task in waiting] == [200, 200]
    assert (await service.get("/hello")).status == 200
    assert b'hal9_shed_total{reason="in-flight"} 1.0' in service.metrics.render()


async def test_requests_are_counted_by_template_and_status_class(service: Service) -> None:
    await service.get("/things/a")
    await service.get("/things/b%00")
    await service.get("/nothing")
    text = service.metrics.render().decode()
    assert 'hal9_http_requests_total{method="GET",route="/things/{key}",status="2xx"} 1.0' in text
    assert 'hal9_http_requests_total{method="GET",route="/things/{key}",status="4xx"} 1.0' in text
    assert 'hal9_http_requests_total{method="none",route="none",status="4xx"} 1.0' in text
    assert (
        'hal9_http_request_duration_seconds_bucket{le="0.2",method="GET",route="/things/{key}",status="2xx"} 1.0'
        in text
    )
    assert "hal9_http_requests_in_flight 0.0" in text


async def test_answers_close_their_connection_while_draining(service: Service) -> None:
    assert "connection" not in (await service.get("/hello")).headers
    service.drain.ask()
    assert (await service.get("/hello")).headers["connection"] == "close"


async def test_a_second_server_on_the_same_port_is_told_so(service: Service) -> None:
    with pytest.raises(PortInUse):
        await Port(service.app, service.address[1], service.address[0]).open()


def test_two_handlers_for_one_operation_are_refused() -> None:
    route = Route("GET", "/a/{key}", Service.hello, "a", "", Access.OPEN, {})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="routed twice"):
        Router([route, route])


@pytest.mark.parametrize(
    ("header", "status", "kind"),
    [
        ("Content-Encoding: gzip", 415, "content-encoding"),
        ("Content-Encoding: identity, br", 415, "content-encoding"),
        ("Content-Encoding: GZIP", 415, "content-encoding"),
        ("Content-Range: bytes 0-1/10", 400, "content-range"),
        ("Content-Encoding: identity", 200, ""),
    ],
)
async def test_a_body_that_is_coded_or_a_part_is_not_taken_for_a_whole_one(
    service: Service, header: str, status: int, kind: str
) -> None:
    reply = await service.get("/wishes", "Content-Type: application/json", header, method="POST", body=b'{"name": "a"}')
    assert reply.status == status
    if kind:
        assert reply.kind == kind


@pytest.mark.parametrize(("version", "status"), [("1.1", 400), ("1.0", 200)])
async def test_a_request_names_its_host(service: Service, version: str, status: int) -> None:
    reply = await service.ask(f"GET /hello HTTP/{version}\r\nConnection: close\r\n\r\n".encode())
    assert reply.status == status
