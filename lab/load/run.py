"""A run: users prepared, warmed up, then driven by the mix's arrivals; and at the end the final reads that decide."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp

from lab.load.client import Client, User
from lab.load.history import TIMEOUT_SECONDS, History, Lost
from lab.load.mix import Mix, arrivals

Progress = Callable[[str, float, float], None]
"""Told what is done, how much of it, and of how much."""
Event = tuple[float, Callable[[], Awaitable[None]]]
"""Something to happen during the run, so many seconds after its start: a fault, or its end."""
_SETTING_UP = 24
"""Requests at once while users are prepared."""


@dataclass(frozen=True)
class Load:
    """What a run is: how many users over which regions, for how long, and the seed of everything random."""

    regions: tuple[str, ...]
    users: int
    seconds: float
    warm_up: float
    mix: Mix
    seed: int = 1


@dataclass
class Result:
    """What came of a run. Times in `history` are monotonic seconds; the run itself was from `began` to `ended`."""

    load: Load
    history: History
    began: float = 0
    ended: float = 0
    lost: list[Lost] = field(default_factory=list)
    checked: int = 0


class Run:
    """Drives one run against gateways. `tokens` gives the service's token, and users' by their ids."""

    def __init__(self, load: Load, bases: Mapping[str, str], host: str, progress: Progress) -> None:
        self.load, self._bases, self._host, self._progress = load, bases, host, progress
        self.users: list[User] = []

    async def go(
        self,
        tokens: Callable[[list[str]], tuple[str, dict[str, str]]],
        events: tuple[Event, ...] = (),
        at_start: Callable[[], Awaitable[None]] | None = None,
        at_end: Callable[[], Awaitable[None]] | None = None,
    ) -> Result:
        """Prepare, warm up, measure, read back. `at_start` and `at_end` run around the measured part alone."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            client = Client(self._bases, self._host, http, History(), self.load.mix.item_bytes)
            await self._prepare(client, tokens)
            holders = self.users[: int(len(self.users) * self.load.mix.websockets / 100)]
            connected = [asyncio.create_task(client.stay_connected(user)) for user in holders]
            try:
                await self._drive(client, self.load.warm_up, self.load.seed, "warming up", ())
                client.history.samples.clear()
                client.history.stale.clear()
                result = Result(self.load, client.history)
                if at_start:
                    await at_start()
                result.began = time.monotonic()
                await self._drive(client, self.load.seconds, self.load.seed + 1, "load", events)
                result.ended = time.monotonic()
                if at_end:
                    await at_end()
                await self._read_back(client, result)
            finally:
                for task in connected:
                    task.cancel()
                await asyncio.gather(*connected, return_exceptions=True)
            return result

    async def _prepare(self, client: Client, tokens: Callable[[list[str]], tuple[str, dict[str, str]]]) -> None:
        """Sign users up at home in every region by turns, log them in, write their items once."""
        load, gate, done = self.load, asyncio.Semaphore(_SETTING_UP), 0
        homes = [load.regions[number % len(load.regions)] for number in range(load.users)]
        service, _ = tokens([])

        async def sign_up(home: str) -> User:
            async with gate:
                return User(await client.sign_up(home, service), home, "")

        self.users = list(await asyncio.gather(*map(sign_up, homes)))
        _, issued = tokens([user.id for user in self.users])

        async def settle(user: User) -> None:
            nonlocal done
            user.token = issued[user.id]
            async with gate:
                await client.log_in(user)
                for number in range(load.mix.items):
                    await client.ask(user, "write", f"item-{number}", user.home, time.monotonic())
            done += 1
            self._progress("preparing users", done, load.users)

        await asyncio.gather(*map(settle, self.users))
        if failed := client.history.errors():
            raise aiohttp.ClientError(f"users could not be prepared: {dict(failed)}")

    async def _drive(self, client: Client, seconds: float, seed: int, what: str, events: tuple[Event, ...]) -> None:
        """Send each arrival at its time, whatever has become of earlier ones; then wait for the last answers."""
        began, under_way = time.monotonic(), set[asyncio.Task[None]]()
        happenings = [asyncio.create_task(_later(began + at, happen)) for at, happen in events]
        regions, told = self.load.regions, 0.0
        for arrival in arrivals(self.load.mix, len(self.users), seconds, seed):
            due = began + arrival.at
            if (rest := due - time.monotonic()) > 0:
                await asyncio.sleep(rest)
            user = self.users[arrival.user]
            region = regions[(regions.index(user.home) + arrival.away) % len(regions)]
            item = f"item-{arrival.item}"
            if arrival.route == "write":
                free = user.free_item(arrival.item, self.load.mix.items)
                if free is None:
                    continue
                item = free
            task = asyncio.create_task(client.ask(user, arrival.route, item, region, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            if arrival.at - told > 0.2:
                told = arrival.at
                self._progress(what, arrival.at, seconds)
        if under_way:
            await asyncio.wait(under_way)
        await asyncio.gather(*happenings)
        self._progress(what, seconds, seconds)

    async def _read_back(self, client: Client, result: Result) -> None:
        """Read every item at the end, and hold it against its history."""
        gate, done, final = asyncio.Semaphore(_SETTING_UP), 0, list[tuple[str, str, int | None]]()

        async def read(user: User) -> None:
            nonlocal done
            async with gate:
                for number in range(self.load.mix.items):
                    item = f"item-{number}"
                    final.append((user.id, item, await client.read_number(user, item)))
            done += 1
            self._progress("reading back", done, len(self.users))

        await asyncio.gather(*map(read, self.users))
        result.lost, result.checked = client.history.lost(final), len(final)


async def _later(at: float, happen: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
    await happen()
