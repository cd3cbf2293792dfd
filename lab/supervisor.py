"""Who promotes: it watches each shard's primary from the other regions, and promotes a replica where a region is lost.

In the lab it stands for the hand of docs/runbooks/region.md, whose order it keeps: first the former primary is fenced
(here killed, there stopped or cut off by its security group), then the replica that has received most is promoted.
The app's processes find the promoted one by themselves (app/databases/primaries.py). A primary whose standby at home
lives is left to that standby, as RDS does it with Multi-AZ.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
import time
from collections.abc import Iterator

import asyncpg

from lab.census import Census
from lab.parts import Part, Rack, postgres_of
from lab.servers.postgres import PostgresServer
from lab.servers.process import ProcessError
from topology.settings import Shard

ROUND_SECONDS = 0.3
PROBE_SECONDS = 1.5
"""Longer than an answer takes between the regions farthest apart: three round trips of 220 ms, and as much again."""
ROUNDS = 3
"""Rounds in a row in which no other region reaches a primary before it counts as lost: one may be a stall."""
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""The first message of PostgreSQL's protocol that a server answers before it asks who one is: with one byte."""


class Supervisor:
    """Watches a lab's primaries, each shard's in a thread of its own. `primaries` are the parts that they are now,
    `told` what it did, `fenced` when it last fenced a former primary
    (monotonic seconds), `census` who took writes meanwhile.
    """

    def __init__(self, lab: Rack) -> None:
        self._lab = lab
        self.primaries = {shard.id: lab.primary(shard) for shard in lab.topology.shards}
        self.told: list[str] = []
        self.fenced: float | None = None
        self.census = Census(lab)
        self._missed = dict.fromkeys(self.primaries, 0)
        self._ended = threading.Event()
        self._turn = threading.Lock()
        self._threads = [
            threading.Thread(target=self._watch, args=(shard,), daemon=True, name=f"supervisor of shard {shard.id}")
            for shard in lab.topology.shards
        ]

    def start(self) -> None:
        """Begin to watch."""
        self.census.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Watch no more; safe to repeat, and before the start."""
        self._ended.set()
        self.census.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While primaries are changed by somebody else."""
        with self._turn:
            try:
                yield
            finally:
                self._missed = dict.fromkeys(self.primaries, 0)

    def _watch(self, shard: Shard) -> None:
        while not self._ended.wait(ROUND_SECONDS):
            lost = asyncio.run(self._lost(shard))
            self._missed[shard.id] = self._missed[shard.id] + 1 if lost else 0
            if self._missed[shard.id] < ROUNDS:
                continue
            with self._turn:
                if self._missed[shard.id] < ROUNDS or self._ended.is_set():
                    continue  # somebody else changed it meanwhile
                try:
                    asyncio.run(self._promote(shard))
                except (ProcessError, OSError, asyncpg.PostgresError) as error:
                    self.told.append(f"shard {shard.id} could not be promoted, it is tried again: {error}")
                self._missed[shard.id] = 0

    async def _lost(self, shard: Shard) -> bool:
        """Whether no other region reaches the primary nor the standby beside it."""
        primary = self.primaries[shard.id]
        standby = self._lab.replica(shard, primary.region)
        viewers = [region for region in self._lab.layout.regions if region != primary.region]
        near = [part for part in (primary, standby) if part is not None]
        asked = [asyncio.ensure_future(self._answers(viewer, part)) for viewer in viewers for part in near]
        reached = False
        for answer in asyncio.as_completed(asked):
            if reached := await answer:
                break
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        return bool(viewers) and not reached

    async def _answers(self, viewer: str, part: Part) -> bool:
        """Whether a region hears from a server, over the link between them."""
        host = self._lab.layout.seen_from(viewer, part.region)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(host, postgres_of(part).port)
                try:
                    writer.write(_SSL_REQUEST)
                    return bool(await reader.read(1))
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    async def _promote(self, shard: Shard) -> None:
        """Fence the former primary, and promote the replica that has received most."""
        began, former = time.monotonic(), self.primaries[shard.id]
        replicas = [p for p in self._lab.of_shard(shard) if p.state == "up" and p.region != former.region]
        if not replicas:
            return
        if former.state == "up":
            former.kill()
        self.fenced = time.monotonic()
        received = await asyncio.gather(*map(_received, replicas))
        best = replicas[received.index(max(received))]
        await _alone(postgres_of(best))
        await asyncio.to_thread(postgres_of(best).promote)
        self.primaries[shard.id] = best
        self.told.append(
            f"no other region reached shard {shard.id}'s primary in {former.region}: its replica in {best.region} was "
            f"promoted in {time.monotonic() - began:.1f} s"
        )


async def _received(part: Part) -> int:
    """The position up to which a replica has the WAL; -1 where it does not answer."""
    try:
        connection = await asyncpg.connect(**postgres_of(part).dsn("postgres"), timeout=PROBE_SECONDS)
    except (OSError, asyncpg.PostgresError, TimeoutError):
        return -1
    try:
        query = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn"
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


async def _alone(server: PostgresServer) -> None:
    """Let it commit without the standby that its former primary had beside it."""
    connection = await asyncpg.connect(**server.dsn("postgres"))
    await connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
