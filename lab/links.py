"""The links between the lab's regions: TCP proxies that add the delay
of distance, and can be cut, slowed or made to drop.

Kernels without netem are common, so the delay is added in user space: whatever arrives is passed on `one_way` seconds
later, in order. One process carries every link; the lab steers it through a Unix socket, one JSON object a line.

    python -m lab.links --control SOCKET --routes routes.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

CHUNK = 64 * 1024
HIGH_WATER = 4 * 1024 * 1024
"""Bytes under way in one direction before the sender is held back: a window for 220 ms at 18 MB/s."""


class LinkError(Exception):
    """The links could not be started or steered; the message is for the operator."""


@dataclass(frozen=True)
class Route:
    """One way from a region to a server of another: connections to `listen` go to `target` over the link's pair."""

    source: str
    destination: str
    listen: tuple[str, int]
    target: tuple[str, int]


@dataclass
class Condition:
    """How a pair of regions is joined. Delay in seconds one way, rate in bytes a second (0: unlimited).

    `cut` refuses new connections and ends those under way; `drop` is the share of connections that break at a chunk.
    """

    one_way: float
    rate: float = 0
    cut: bool = False
    drop: float = 0

    def changed(self, **values: Any) -> Condition:
        """The condition with some of its values replaced. LinkError for one that it does not have."""
        if unknown := values.keys() - asdict(self).keys():
            raise LinkError(f"a link has no {', '.join(sorted(unknown))}; it has {', '.join(asdict(self))}")
        return Condition(**{**asdict(self), **values})


@dataclass
class Links:
    """All links of a lab: their routes, and the condition of each direction between two regions."""

    routes: list[Route]
    conditions: dict[tuple[str, str], Condition]
    _connections: dict[tuple[str, str], set[asyncio.Task[None]]] = field(default_factory=dict)

    async def listen(self) -> list[asyncio.Server]:
        """Listen for every route. LinkError that names the address that is taken."""
        servers = []
        for route in self.routes:
            try:
                servers.append(await asyncio.start_server(self._handler(route), *route.listen, limit=CHUNK))
            except OSError as error:
                raise LinkError(
                    f"{route.listen[0]}:{route.listen[1]} is taken ({os.strerror(error.errno or 0)})"
                ) from None
        return servers

    def set(self, source: str, destination: str, values: Mapping[str, Any]) -> None:
        """Change one direction's condition; a cut ends the connections that use it."""
        key = (source, destination)
        if key not in self.conditions:
            raise LinkError(f"there is no link from {source} to {destination}")
        self.conditions[key] = self.conditions[key].changed(**values)
        if self.conditions[key].cut:
            for pair in (key, key[::-1]):
                for task in self._connections.get(pair, set()):
                    task.cancel()

    def _handler(self, route: Route) -> Any:
        pair = (route.source, route.destination)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks = self._connections.setdefault(pair, set())
            tasks.add(task)
            try:
                await self._carry(route, reader, writer)
            except (OSError, asyncio.CancelledError):
                pass  # a broken or cut connection is what a link is for; both ends see it closed
            finally:
                tasks.discard(task)
                writer.close()

        return handle

    async def _carry(self, route: Route, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = (route.source, route.destination), (route.destination, route.source)
        if self.conditions[there].cut or self.conditions[back].cut:
            writer.transport.abort()
            return
        await asyncio.sleep(2 * self.conditions[there].one_way)  # TCP's own handshake takes a round trip
        far_reader, far_writer = await asyncio.open_connection(*route.target, limit=CHUNK)
        for stream in (writer, far_writer):
            stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(there, reader, far_writer))
                group.create_task(self._pass_on(back, far_reader, writer))
        except* OSError:
            pass
        finally:
            far_writer.close()

    async def _pass_on(self, key: tuple[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what arrives, each chunk `one_way` later, in order, not faster than the rate."""
        loop = asyncio.get_running_loop()
        waiting: deque[tuple[float, bytes]] = deque()
        arrived, room = asyncio.Event(), asyncio.Event()
        room.set()
        under_way = 0

        async def deliver() -> None:
            nonlocal under_way
            while True:
                while not waiting:
                    arrived.clear()
                    await arrived.wait()
                due, data = waiting.popleft()
                if (rest := due - loop.time()) > 0:
                    await asyncio.sleep(rest)
                if not data:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
                under_way -= len(data)
                if under_way < HIGH_WATER:
                    room.set()

        sender = asyncio.create_task(deliver())
        free_at = loop.time()
        try:
            while True:
                await room.wait()
                data = await reader.read(CHUNK)
                condition = self.conditions[key]
                if data and condition.drop and random.random() < condition.drop:
                    raise ConnectionResetError
                free_at = max(free_at, loop.time()) + (len(data) / condition.rate if condition.rate else 0)
                waiting.append((free_at + condition.one_way, data))
                arrived.set()
                under_way += len(data)
                if under_way >= HIGH_WATER:
                    room.clear()
                if not data:
                    break
            await sender
        finally:
            sender.cancel()


def conditions(round_trips: Mapping[tuple[str, str], float]) -> dict[tuple[str, str], Condition]:
    """Both directions of each pair, from round trips in seconds."""
    both: dict[tuple[str, str], Condition] = {}
    for (first, second), seconds in round_trips.items():
        both[first, second] = Condition(seconds / 2)
        both[second, first] = Condition(seconds / 2)
    return both


async def serve(links: Links, control: Path) -> None:
    """Carry the links until the process ends, and take changes from the control socket."""

    async def steer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            try:
                order = json.loads(line)
                links.set(order.pop("source"), order.pop("destination"), order)
                answer: dict[str, Any] = {"ok": True}
            except (LinkError, KeyError, ValueError) as error:
                answer = {"ok": False, "error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    listeners = await links.listen()
    await asyncio.start_unix_server(steer, control)
    await asyncio.gather(*(listener.serve_forever() for listener in listeners), asyncio.Event().wait())


def steer(control: Path, changes: Iterable[Mapping[str, Any]]) -> None:
    """Send changes to a running links process and wait until each is in force. LinkError with what it refused."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(str(control))
        except OSError as error:
            raise LinkError(f"the lab's links do not run ({error.strerror}); start it by `make lab`") from None
        lines = connection.makefile("rw")
        for change in changes:
            lines.write(json.dumps(dict(change)) + "\n")
            lines.flush()
            answer = json.loads(lines.readline())
            if not answer["ok"]:
                raise LinkError(answer["error"])


def main() -> int:
    """The links process; its routes and round trips are in a JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--routes", type=Path, required=True)
    options = parser.parse_args()
    given = json.loads(options.routes.read_text("utf-8"))
    routes = [
        Route(r["source"], r["destination"], (r["listen"][0], r["listen"][1]), (r["target"][0], r["target"][1]))
        for r in given["routes"]
    ]
    pairs = {(pair[0], pair[1]): seconds for *pair, seconds in given["round_trips"]}
    try:
        asyncio.run(serve(Links(routes, conditions(pairs)), options.control))
    except LinkError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
