"""A Redis cluster by one lane to each node: the key's slot says which.

What a node says against the layout that is known here is believed: MOVED changes it, ASK is followed once. A node
that does not answer has the layout asked for anew, from whichever node tells it, before the next command. MOVED to the
very address that was asked means that its name leads to another node by now: that connection is left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from redis.crc import key_slot
from redis.exceptions import ClusterDownError, RedisError, ResponseError, TryAgainError

from app.deployment import Endpoint
from app.redis.lane import RedisLane

log = logging.getLogger(__name__)

SLOTS = 16384
REDIRECTIONS = 4
"""Most redirections of one command; a layout that changes more often at once is not whole."""
REFRESH_SECONDS = 1.0
"""The layout is not asked for more often than this."""
KEY_AT = {"EVAL": 3, "EVALSHA": 3}
"""Where a command's first key stands; 1 for all others."""


class RedisClusterLanes:
    """Commands with a key, to the node that holds it. `seed` is the cluster's configuration endpoint."""

    def __init__(self, seed: Endpoint, lane: Callable[[Endpoint], RedisLane]) -> None:
        self._seed = seed
        self._make = lane
        self._lanes: dict[tuple[str, int], RedisLane] = {}
        self._slots: list[RedisLane | None] = [None] * SLOTS
        self._refreshing: asyncio.Task[None] | None = None
        self._asked = float("-inf")
        self._whole = False

    async def execute_command(self, *command: Any) -> Any:
        """The answer, bytes undecoded. Raises: RedisError, redis-py's, as `RedisLane` does."""
        key = command[KEY_AT.get(command[0], 1)]
        slot = key_slot(key if isinstance(key, bytes) else str(key).encode())
        lane = self._slots[slot]
        if lane is None:
            lane = await self._lane_of(slot)
        asked: list[RedisLane] = []
        for _ in range(REDIRECTIONS):
            asked.append(lane)
            try:
                return await lane.execute_command(*command)
            except ResponseError as error:
                told = str(error)
                if not told.startswith(("MOVED ", "ASK ")):
                    if told.startswith(("CLUSTERDOWN", "TRYAGAIN")):
                        self._refresh()
                        raise (ClusterDownError if told.startswith("C") else TryAgainError)(told) from error
                    raise
                lane, answer = await self._redirected(told, lane, slot, command)
                if answer is not None:
                    return answer[0]
            except RedisError:
                self._whole = False
                self._refresh()
                raise
        for lane in asked:
            lane.leave("MOVED")
        raise ClusterDownError("the cluster redirects in a circle")

    async def nodes(self) -> set[tuple[str, int]]:
        """Host and port of every node that holds slots. Raises: RedisError."""
        self._asked = float("-inf")
        await asyncio.shield(self._refresh())
        return {address for address, lane in self._lanes.items() if lane in self._slots}

    async def aclose(self) -> None:
        """Drop every connection."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        for lane in self._lanes.values():
            await lane.aclose()

    async def _redirected(
        self, told: str, asked: RedisLane, slot: int, command: tuple[Any, ...]
    ) -> tuple[RedisLane, tuple[Any] | None]:
        """The lane that a MOVED names, or that of an ASK with its answer. A host that is not named is the one asked."""
        kind, _, address = told.split(" ")
        host, _, port = address.rpartition(":")
        lane = self._lane(host or asked.endpoint.host, int(port))
        if kind == "MOVED":
            if lane is asked:
                lane.leave("MOVED")
            self._slots[slot] = lane
            self._refresh()
            return lane, None
        _, answer = await lane.ask_in_turn(("ASKING",), command)
        return lane, (answer,)

    async def _lane_of(self, slot: int) -> RedisLane:
        if not self._whole:
            self._asked = float("-inf") if not self._lanes else self._asked
            await asyncio.shield(self._refresh())
        lane = self._slots[slot]
        if lane is None:
            raise ClusterDownError(f"no node holds slot {slot}")
        return lane

    def _refresh(self) -> asyncio.Future[None]:
        """Ask for the layout; one asking at a time, and no more often than every `REFRESH_SECONDS`."""
        if self._refreshing is None or self._refreshing.done():
            if time.monotonic() - self._asked < REFRESH_SECONDS:
                done = asyncio.get_running_loop().create_future()
                done.set_result(None)
                return done
            self._asked = time.monotonic()
            self._refreshing = asyncio.create_task(self._ask_layout(), name="cluster layout")
            self._refreshing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._refreshing

    async def _ask_layout(self) -> None:
        """The first whole layout that is told, else the one with the most slots; the seed is asked first.

        The seed is the name that is kept right when nodes come and go; a node that was put out of the cluster goes on
        telling what it knew. Raises: the last error when nobody answers.
        """
        failure: RedisError = ClusterDownError("no node tells a layout")
        best: dict[tuple[str, int], list[tuple[int, int]]] = {}
        most = 0
        seed = (self._seed.host, self._seed.port)
        for host, port in dict.fromkeys((seed, *self._lanes)):
            try:
                told = _layout(await self._lane(host, port).execute_command("CLUSTER", "SLOTS"), host)
            except RedisError as error:
                failure = error
                continue
            covered = sum(last - first + 1 for ranges in told.values() for first, last in ranges)
            if covered > most:
                best, most = told, covered
            if most == SLOTS:
                break
        if not most:
            raise failure
        self._learn(best, most == SLOTS)

    def _learn(self, layout: dict[tuple[str, int], list[tuple[int, int]]], whole: bool) -> None:
        slots: list[RedisLane | None] = [None] * SLOTS
        for address, ranges in layout.items():
            for first, last in ranges:
                slots[first : last + 1] = [self._lane(*address)] * (last - first + 1)
        self._slots, self._whole = slots, whole
        for address in set(self._lanes) - set(layout) - {(self._seed.host, self._seed.port)}:
            self._lanes.pop(address).retire()

    def _lane(self, host: str, port: int) -> RedisLane:
        found = self._lanes.get((host, port))
        if found is None:
            endpoint = Endpoint(host=host, port=port, tls=self._seed.tls)
            found = self._lanes[host, port] = self._make(endpoint)
        return found


def _layout(told: Any, teller: str) -> dict[tuple[str, int], list[tuple[int, int]]]:
    """Ranges of slots by the address of their primary, as `teller` told them.

    A node without a host is at the teller's; one whose host is `?` is known to nobody, so its slots are nobody's.
    """
    layout: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for first, last, (host, port, *_), *_replicas in told:
        if host != b"?":
            address = (host.decode() if host else teller, int(port))
            layout.setdefault(address, []).append((int(first), int(last)))
    return layout
