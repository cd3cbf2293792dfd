"""One user at a keyboard: signs up, logs in, reads, writes,
keeps a WebSocket open; every answer goes into the history.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp

from app.sessions.cookie import NAME as COOKIE
from lab.load.history import TIMEOUT_SECONDS, History, Outcome, Sample


@dataclass
class User:
    """A user of the run. `written` is the number of each item's last acknowledged write."""

    id: str
    home: str
    token: str
    cookie: str = ""
    written: dict[str, int] = field(default_factory=dict)
    next_number: int = 1
    busy: set[str] = field(default_factory=set)
    gone: bool = False
    """Whether the last request went through another region's gateway."""

    def free_item(self, wanted: int, items: int) -> str | None:
        """The wanted item, or the next one that no write of this user is under way to; None where all are busy."""
        for step in range(items):
            name = f"item-{(wanted + step) % items}"
            if name not in self.busy:
                return name
        return None


@dataclass
class Client:
    """Sends users' requests to the regions' gateways and keeps what came of them.

    `bases` are the gateways' addresses by region; `host` is the name that they are asked for.
    """

    bases: Mapping[str, str]
    host: str
    http: aiohttp.ClientSession
    history: History
    item_bytes: int

    async def sign_up(self, region: str, service_token: str) -> str:
        """Register a user at home in `region`; the id."""
        headers = {"Host": self.host, "Authorization": f"Bearer {service_token}"}
        url = f"{self.bases[region]}/v1/users"
        while True:
            async with self.http.post(url, json={"region": region}, headers=headers, ssl=False) as answer:
                if answer.status != HTTPStatus.TOO_MANY_REQUESTS:
                    answer.raise_for_status()
                    return str((await answer.json())["id"])
            # One service registers them all, and has one user's share of requests a second.
            await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))

    async def log_in(self, user: User) -> None:
        """Take a session for a user."""
        headers = {"Host": self.host, "Authorization": f"Bearer {user.token}"}
        async with self.http.post(f"{self.bases[user.home]}/v1/sessions", headers=headers, ssl=False) as answer:
            answer.raise_for_status()
            user.cookie = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]

    async def ask(self, user: User, route: str, item: str, region: str, due: float) -> None:
        """One request of the mix, due at `due` (monotonic seconds). Writes also go into the items' histories."""
        away = region != user.home
        returned, user.gone = user.gone and not away, away
        if route == "write":
            status, outcome, error = await self._write(user, item, region)
        else:
            status, outcome, error = await self._read(user, route, item, region)
        seconds = time.monotonic() - due
        self.history.add(Sample(due, seconds, user.home, route, status, outcome, error, away, returned, user.id))

    async def _read(self, user: User, route: str, item: str, region: str) -> tuple[int, Outcome, str]:
        path = {
            "read": f"/v1/me/items/{item}",
            "me": "/v1/me",
            "list": "/v1/me/items?limit=20",
            "session": "/v1/session",
        }
        known = user.written.get(item, 0)
        status, body, error = await self._send("GET", region, path[route], user)
        if route == "read" and not error and status == HTTPStatus.OK:
            # It was answered; what it showed is judged by itself.
            shown, wrong = self._shown(user, item, body)
            if wrong:
                self.history.wrong.append(wrong)
            elif shown < known and item not in user.busy:
                self.history.showed(user.id, item, shown, time.monotonic(), region)
        good = not error and status == HTTPStatus.OK
        return status, "ok" if good else "fail", error

    def _content(self, user: User, item: str, number: int) -> dict[str, object]:
        """What a write puts into an item: whose and which it is, so that no other passes for it."""
        return {"n": number, "user": user.id, "item": item, "pad": "x" * self.item_bytes}

    def _shown(self, user: User, item: str, body: bytes) -> tuple[int, str]:
        """The number that an item shows, and what is wrong with it ("" where it is one that this user wrote there)."""
        try:
            found = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return 0, f"{user.id} asked for {item} and was shown what is not an item"
        if (found.get("user"), found.get("item")) != (user.id, item):
            return 0, f"{user.id} asked for {item} and was shown another's"
        number = found.get("n")
        if type(number) is not int or not 0 < number < user.next_number or found != self._content(user, item, number):
            return 0, f"{user.id} asked for {item} and was shown what was never written"
        return number, ""

    async def _write(self, user: User, item: str, region: str) -> tuple[int, Outcome, str]:
        number = user.next_number
        user.next_number += 1
        user.busy.add(item)
        try:
            body = json.dumps(self._content(user, item, number))
            key = {"Idempotency-Key": f"{user.id}-{number}", "Content-Type": "application/json"}
            status, _, error = await self._send("PUT", region, f"/v1/me/items/{item}", user, body, key)
            outcome: Outcome = "indeterminate"
            if not error and status in (HTTPStatus.OK, HTTPStatus.CREATED):
                outcome = "ok"
                user.written[item] = number
            elif not error and status < HTTPStatus.INTERNAL_SERVER_ERROR:
                outcome = "fail"
            self.history.wrote(user.id, item, number, outcome, time.monotonic(), region)
            return status, outcome, error
        finally:
            user.busy.discard(item)

    async def read_number(self, user: User, item: str) -> int | None:
        """What the item shows at the end; None where there is none. Raises aiohttp.ClientError.

        A server that says 503 is asked again when it says so, until TIMEOUT_SECONDS are over.
        """
        url, give_up = f"{self.bases[user.home]}/v1/me/items/{item}", time.monotonic() + TIMEOUT_SECONDS
        while True:
            async with self.http.get(url, headers=self._headers(user), ssl=False) as answer:
                if answer.status == HTTPStatus.NOT_FOUND:
                    return None
                after = float(answer.headers.get("Retry-After", 1))
                if answer.status != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() + after > give_up:
                    answer.raise_for_status()
                    body = await answer.read()
                    _, wrong = self._shown(user, item, body)
                    if wrong:
                        self.history.wrong.append(wrong)
                    return int(json.loads(body)["n"])
            await asyncio.sleep(after)

    async def stay_connected(self, user: User, every: float = 15) -> None:
        """Hold a WebSocket open until cancelled, and take a new one where it ends."""
        url = f"{self.bases[user.home]}/v1/live"
        while True:
            try:
                async with self.http.ws_connect(url, headers=self._headers(user), ssl=False) as live:
                    while not live.closed:
                        await live.send_str("ping")
                        answer = await live.receive(timeout=TIMEOUT_SECONDS)
                        if answer.type is aiohttp.WSMsgType.TEXT and answer.data == "pong":
                            self.history.live.add(user.id)
                        await asyncio.sleep(every)
            except (aiohttp.ClientError, OSError, TimeoutError):
                await asyncio.sleep(1)  # its server is gone; a user's browser would try again too

    async def _send(
        self,
        method: str,
        region: str,
        path: str,
        user: User,
        body: str | None = None,
        more: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, str]:
        """Status, body, and what went wrong where there was no whole answer.

        As the edge does, a gateway that cannot be reached is passed over for the next region's: nothing was sent, so
        any request may go there. One that breaks off is asked again elsewhere only for what changes nothing.
        """
        headers = {**self._headers(user), **(more or {})}
        regions = list(self.bases)
        first = regions.index(region)
        error_name = ""
        for base in (self.bases[name] for name in regions[first:] + regions[:first]):
            try:
                async with self.http.request(method, base + path, headers=headers, data=body, ssl=False) as answer:
                    return answer.status, await answer.read(), ""
            except TimeoutError:
                return 0, b"", f"no answer within {TIMEOUT_SECONDS:g} s"
            except aiohttp.ClientConnectorError as error:
                error_name = type(error).__name__
            except (aiohttp.ClientError, OSError) as error:
                error_name = type(error).__name__
                if method != "GET":
                    break
        return 0, b"", error_name

    def _headers(self, user: User) -> dict[str, str]:
        return {"Host": self.host, "Cookie": f"{COOKIE}={user.cookie}"}
