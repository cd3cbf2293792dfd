"""How many instances of one shard would take writes at the same time: the invariant that a promotion must not break."""

from __future__ import annotations

import asyncio
import threading

import asyncpg

from lab.parts import Part, Rack, postgres_of

EVERY_SECONDS = 0.2
WOULD_WRITE = """
SELECT CASE WHEN pg_is_in_recovery() THEN false ELSE
    EXISTS (SELECT FROM slots WHERE state = 'owned' AND timeline = current_timeline())
END"""
"""What the fence of a write asks (app/migrations/0003_promotion.sql)."""


class Census:
    """Asks every Postgres instance directly, past the links, in a thread of its own."""

    def __init__(self, lab: Rack) -> None:
        self._lab = lab
        self._most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._count()), daemon=True, name="census")

    def start(self) -> None:
        """Begin to count."""
        self._thread.start()

    def stop(self) -> None:
        """Count no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def take(self) -> int:
        """The most writable instances that one shard had at once since the last call."""
        most, self._most = self._most, 0
        return most

    async def _count(self) -> None:
        kept: dict[str, asyncpg.Connection] = {}
        while not self._ended.is_set():
            for shard in self._lab.topology.shards:
                asked = [self._would_write(part, kept) for part in self._lab.of_shard(shard)]
                self._most = max(self._most, sum(await asyncio.gather(*asked)))
            await asyncio.sleep(EVERY_SECONDS)
        for connection in kept.values():
            connection.terminate()

    @staticmethod
    async def _would_write(part: Part, kept: dict[str, asyncpg.Connection]) -> bool:
        connection = kept.get(part.name)
        try:
            if connection is None or connection.is_closed():
                if part.state != "up":
                    return False
                connection = kept[part.name] = await asyncpg.connect(**postgres_of(part).dsn(), timeout=1)
            return bool(await connection.fetchval(WOULD_WRITE, timeout=1))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            kept.pop(part.name, None)
            return False
