"""A lost region's shards come home: the former primary is rebuilt, and takes over again in a planned switch."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import asyncpg

from lab.lab import Lab
from lab.parts import Part, postgres_of
from lab.servers.postgres import PostgresServer
from lab.servers.process import ProcessError
from topology.settings import Shard

log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 30.0
LAST_RECORD_SECONDS = 2.0
"""How long what a server sent last may be under way to the rebuilt one."""
NEAR_BYTES = 256 * 1024
"""The switch begins when the rebuilt server is this close: the rest is sent while the other one shuts down."""


def rebuild(lab: Lab, shard: Shard) -> None:
    """Make the former primary a replica of the promoted one: what only it has is rewound, and it cannot be written to
    at any moment. Where that fails, or it was a standby when it died, it is copied anew."""
    home, promoted = lab.rack.primary(shard), lab.supervisor.primaries[shard.id]
    server, source = postgres_of(home), seen(lab, home.region, promoted)
    if not (server.data / "standby.signal").exists():
        try:
            server.rejoin(source)
            home.start()
        except ProcessError as error:
            # The promoted one no longer has all the WAL since the last checkpoint that both know.
            log.warning("%s could not be rewound: %s", home.name, error)
        else:
            return
    server.replica_of = source
    _copy_again(home)


def bring_home(lab: Lab, shard: Shard, say: Callable[[str], None]) -> None:
    """Switch back to the server at home, and rebuild the others from it. Writes wait meanwhile, and none is lost: a
    server that shuts down in order first sends all it has."""
    home, promoted = lab.rack.primary(shard), lab.supervisor.primaries[shard.id]
    asyncio.run(_caught_up(postgres_of(promoted), postgres_of(home)))
    began = time.monotonic()
    promoted.stop()
    if not asyncio.run(_has_all(postgres_of(promoted), postgres_of(home))):
        promoted.start()
        raise ProcessError(f"{home.name} does not have all that {promoted.name} wrote: nothing was switched")
    postgres_of(home).promote()
    asyncio.run(_checkpoint(postgres_of(home)))
    lab.supervisor.primaries[shard.id] = home
    say(f"shard {shard.id} is at home again: its primary changed within {time.monotonic() - began:.1f} s")
    postgres_of(promoted).rejoin(seen(lab, promoted.region, home))
    promoted.start()
    with ThreadPoolExecutor() as pool:
        list(pool.map(_copy_again, [part for part in lab.rack.of_shard(shard) if part not in (home, promoted)]))
    lab.synchronous(shard)


def _copy_again(part: Part) -> None:
    """Take a replica that was left behind anew from its primary, as its siblings' promotion asks for."""
    server = postgres_of(part)
    if server.running:
        part.kill()
    shutil.rmtree(server.data)
    server.create()
    part.start()


def seen(lab: Lab, viewer: str, part: Part) -> PostgresServer:
    """A server as another region reaches it: over the link."""
    server = postgres_of(part)
    return PostgresServer(
        server.directory, lab.layout.seen_from(viewer, part.region), server.port, password=server.password
    )


async def _checkpoint(server: PostgresServer) -> None:
    """From here a next rewind begins, and not from before this history's first promotion."""
    connection = await asyncpg.connect(**server.dsn("postgres"))
    await connection.execute("CHECKPOINT")
    await connection.close()


async def _has_all(stopped: PostgresServer, copy: PostgresServer) -> bool:
    """Whether `copy` comes to have the last record of a server that was shut down in order: its shutdown checkpoint.

    What was replayed counts too: the position received goes back to a
    segment's begin when it looks for its source anew.
    """
    last, give_up = stopped.last_checkpoint(), time.monotonic() + LAST_RECORD_SECONDS
    standby = await asyncpg.connect(**copy.dsn("postgres"))
    query = "SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) > $1::pg_lsn"
    try:
        while not (found := bool(await standby.fetchval(query, last))) and time.monotonic() < give_up:  # noqa: ASYNC110 - another process' doing
            await asyncio.sleep(0.02)
        return found
    finally:
        await standby.close()


async def _caught_up(source: PostgresServer, copy: PostgresServer) -> None:
    """Wait until `copy` streams from `source`, by the word of the one that sends (the other says so before it has
    connected), and is near its end. ProcessError after CATCH_UP_SECONDS."""
    near = (
        "SELECT EXISTS (SELECT FROM pg_stat_replication "
        "WHERE state = 'streaming' AND pg_current_wal_lsn() - flush_lsn < $1)"
    )
    give_up = time.monotonic() + CATCH_UP_SECONDS
    connection = await asyncpg.connect(**source.dsn("postgres"))
    try:
        # Only the rebuilt one follows a promoted server.
        while not await connection.fetchval(near, NEAR_BYTES):
            if time.monotonic() > give_up:
                raise ProcessError(
                    f"the server on port {copy.port} has not caught up within {CATCH_UP_SECONDS:g} s; "
                    f"its log: {copy.directory / 'log'}"
                )
            await asyncio.sleep(0.05)
    finally:
        await connection.close()
