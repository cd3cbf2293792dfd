"""Invalidations from Redis to L1, and the proof that none was missed.

A process subscribes at every node of its region's cache. Redis keeps the order of what it sends on one connection,
so the answer to a PING proves that every invalidation told before the PING arrived has been applied here. L1 is
trusted for `TRUST_SECONDS` after the sending of the last answered PING, and not a moment longer.

The writer's side: the script that invalidates says how many subscribers were told; the writer waits until that many
have applied it, and where one stays silent, until `TRUST_SECONDS` have passed and the silent one trusts its L1 no
more. It also has Redis drop the silent connection, so that the next writer need not wait for it.

What Redis does not count the writer cannot wait for. A process whose subscription Redis closed by itself (a node's
restart, a full buffer) may trust its L1 until it reads that end, `TRUST_SECONDS` at most; one that has not found a node
that has just joined the cluster, `LAYOUT_SECONDS` at most, for keys whose slots moved there.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError

from app.cache.records import CHANNEL
from app.redis.clients import RedisClients
from app.redis.cluster import RedisClusterLanes

log = logging.getLogger(__name__)

TRUST_SECONDS = 1.0
PING_SECONDS = TRUST_SECONDS / 4
LAYOUT_SECONDS = 5.0
"""How often the cluster's nodes are compared with those subscribed at."""
ACKS = "cache-acks:"
NAME = "hal9-l1-"


class _Told:
    """One invalidation on its way: who has applied it, and how many must."""

    __slots__ = ("applied", "done", "expected")

    def __init__(self) -> None:
        self.applied: set[str] = set()
        self.expected: int | None = None
        self.done = asyncio.Event()

    def check(self) -> None:
        if self.expected is not None and len(self.applied) >= self.expected:
            self.done.set()


class Coherence:
    """The subscriptions of one process. `trusted_until` (monotonic seconds) is 0 while any of them is down.

    `on_key` is called for each invalidated key, `on_gap` when invalidations may have been missed.
    """

    def __init__(self, clients: RedisClients, on_key: Callable[[str], None], on_gap: Callable[[], None]) -> None:
        self.process = secrets.token_hex(8)
        self.trusted_until = 0.0
        self.on_trust: Callable[[float], None] = lambda _until: None
        self._clients, self._on_key, self._on_gap = clients, on_key, on_gap
        self._feeds: dict[tuple[str, int], _Feed] = {}
        self._numbers = itertools.count(1)
        self._told: dict[str, _Told] = {}
        self._layout: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Subscribe, and wait a moment for the first proof; goes on in the background where Redis is away."""
        self._layout = asyncio.create_task(self._follow_layout(), name="cache layout")
        give_up = time.monotonic() + TRUST_SECONDS
        while self.trusted_until == 0 and time.monotonic() < give_up:  # noqa: ASYNC110 - the other side is a server
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Leave every node."""
        tasks = [task for task in (self._layout, *(feed.task for feed in self._feeds.values())) if task is not None]
        self._layout, self._feeds = None, {}
        running = set(tasks)
        while running:
            for task in running:
                task.cancel()
            # More than once: a cancellation that meets a reading's own time-out may be lost in the client.
            _, running = await asyncio.wait(running, timeout=0.2)
        self._trust()

    def message(self, key: str) -> tuple[str, str]:
        """A new invalidation's number, and the message that tells of it."""
        number = str(next(self._numbers))
        self._told[number] = _Told()
        return number, f"{self.process}:{number}:{key}"

    async def settle(self, number: str, subscribers: int | None, node: str) -> bool:
        """Wait until no process of the region can answer from an L1 that has not applied invalidation `number`.

        `subscribers`: how many `node` has told; None where it could not be asked.
        Returns whether all of them answered; False means that the wait for their trust to end was needed.
        """
        told = self._told[number]
        until = time.monotonic() + TRUST_SECONDS
        try:
            if subscribers is not None and all(feed.node != node for feed in self._feeds.values()):
                subscribers = None  # a node that is new here may be new to the others too
            told.expected = subscribers
            told.check()
            try:
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + until - time.monotonic()):
                    await told.done.wait()
            except TimeoutError:
                if subscribers is not None:
                    await self._drop_silent(node, told.applied)
                return False
            return True
        finally:
            del self._told[number]

    def applied(self, number: str, subscriber: str) -> None:
        """`subscriber` has applied invalidation `number` of this process."""
        told = self._told.get(number)
        if told is not None:
            told.applied.add(subscriber)
            told.check()

    def forget(self, number: str) -> None:
        """Nobody waits for invalidation `number`."""
        self._told.pop(number, None)

    def trust(self) -> None:
        """A feed has new proof, or lost its connection."""
        self._trust()

    def gap(self) -> None:
        """Invalidations may have been missed."""
        self._trust()
        self._on_gap()

    def key(self, key: str) -> None:
        """`key` was invalidated somewhere."""
        self._on_key(key)

    def _trust(self) -> None:
        feeds = self._feeds.values()
        self.trusted_until = min((feed.trusted_until for feed in feeds), default=0.0)
        self.on_trust(self.trusted_until)

    async def _follow_layout(self) -> None:
        while True:
            try:
                nodes = await self._nodes()
            except (RedisError, RedisClusterException, OSError) as error:
                log.warning("the cache's nodes are not known: %s", error)
                nodes = set(self._feeds)
            for gone in set(self._feeds) - nodes:
                feed = self._feeds.pop(gone)
                feed.task.cancel()
            for address in nodes - set(self._feeds):
                self._feeds[address] = _Feed(self, self._clients, *address)
                self.gap()
            await asyncio.sleep(LAYOUT_SECONDS if self._feeds else PING_SECONDS)

    async def _nodes(self) -> set[tuple[str, int]]:
        region = self._clients.region
        client = self._clients.cache(region)
        if isinstance(client, RedisClusterLanes):
            return await client.nodes()
        endpoint = self._clients.cache_endpoint(region)
        return {(endpoint.host, endpoint.port)}

    async def _drop_silent(self, node: str, applied: set[str]) -> None:
        """Have Redis close the subscriptions that did not answer; they come back with an empty L1."""
        for feed in self._feeds.values():
            if feed.node == node:
                with contextlib.suppress(RedisError, OSError):
                    await feed.drop_silent(applied)


class _Feed:
    """The subscription at one node: its reading, its proofs, and the answers to writers."""

    def __init__(self, owner: Coherence, clients: RedisClients, host: str, port: int) -> None:
        self.trusted_until = 0.0
        self.node = ""
        self._owner, self._clients, self._host, self._port = owner, clients, host, port
        self._acks: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._client: Redis | None = None
        self._name = ""
        self.task = asyncio.create_task(self._run(), name=f"cache feed {host}:{port}")

    async def _run(self) -> None:
        pause = 0.05
        while True:
            began = time.monotonic()
            try:
                await self._subscribed()
            except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
                log.warning("cache invalidations of %s:%s: %s", self._host, self._port, error)
            finally:
                self.trusted_until = 0.0
                self._owner.gap()
            pause = 0.05 if time.monotonic() - began > 5 else min(pause * 2, 1.0)
            await asyncio.sleep(pause)

    async def _subscribed(self) -> None:
        self._name = NAME + secrets.token_hex(8)
        client = self._client = self._clients.cache_node(self._clients.region, self._host, self._port)
        client.connection_pool.connection_kwargs["client_name"] = self._name
        acks: asyncio.Task[None] | None = None
        try:
            self.node = await _node_id(client)
            async with client.pubsub() as pubsub:
                await pubsub.subscribe(CHANNEL + self.node, f"{ACKS}{self._owner.process}:{self.node}")
                acks = asyncio.create_task(self._answer(client), name="cache acks")
                await self._read(pubsub)
        finally:
            if acks is not None:
                acks.cancel()
            self._client = None
            await client.aclose()

    async def _read(self, pubsub: Any) -> None:
        confirmed, sent, next_ping = 0, {0: 0.0}, 0.0
        number = 0
        while True:
            now = time.monotonic()
            if confirmed >= 2 and now >= next_ping:
                number += 1
                sent[number] = now
                next_ping = now + PING_SECONDS
                await pubsub.ping(str(number))
                if len(sent) > 8:
                    raise TimeoutError("no answer to PING")
            message = await pubsub.get_message(timeout=max(0.001, next_ping - now) if confirmed >= 2 else PING_SECONDS)
            if message is None:
                continue
            kind = message["type"]
            if kind == "message":
                self._message(message["channel"], message["data"])
            elif kind == "pong":
                answered = int(message["data"])
                self.trusted_until = sent[answered] + TRUST_SECONDS
                sent = {other: at for other, at in sent.items() if other > answered}
                self._owner.trust()
            elif kind == "subscribe":
                confirmed += 1
                if confirmed > 2:
                    raise ConnectionError("the subscription was interrupted")

    def _message(self, channel: bytes, data: bytes) -> None:
        if channel.startswith(ACKS.encode()):
            number, _, subscriber = data.decode().partition(":")
            self._owner.applied(number, subscriber)
            return
        try:
            writer, number, key = data.decode().split(":", 2)
        except ValueError:
            # Of another version of the app, perhaps: what it invalidates cannot be known.
            log.warning("an invalidation cannot be read; L1 is emptied")
            self._owner.gap()
            return
        self._owner.key(key)
        if writer == self._owner.process:
            self._owner.applied(number, self._name)
        elif number:
            self._acks.put_nowait((f"{ACKS}{writer}:{self.node}", f"{number}:{self._name}"))

    async def _answer(self, client: Redis) -> None:
        """Tell writers what was applied. A writer that gets no answer waits out the trust instead."""
        while True:
            batch = [await self._acks.get()]
            while not self._acks.empty():
                batch.append(self._acks.get_nowait())
            try:
                async with client.pipeline(transaction=False) as pipeline:
                    for channel, answer in batch:
                        pipeline.publish(channel, answer)
                    await pipeline.execute()
            except (RedisError, RedisClusterException, OSError) as error:
                log.warning("writers were not answered: %s", error)

    async def drop_silent(self, applied: set[str]) -> None:
        """Close the L1 subscriptions at this node whose names are not in `applied`."""
        if self._client is None:
            return
        for line in await self._client.client_list(_type="pubsub"):
            if line["name"].startswith(NAME) and line["name"] not in applied:
                log.warning("a process of the region did not apply an invalidation; its subscription is closed")
                await self._client.client_kill_filter(_id=line["id"])


async def _node_id(client: Redis) -> str:
    """The node's id in its cluster; `single` for a server without one, as the scripts say it."""
    try:
        found: Any = await client.execute_command("CLUSTER", "MYID")  # type: ignore[no-untyped-call]
    except RedisError as error:
        if "cluster support disabled" not in str(error):
            raise
        return "single"
    return str(found.decode() if isinstance(found, bytes) else found)
