"""A process that sees users and says its share: `python -m tests.app.http.counting_process <document>`.

A line of hex ids on stdin is a request of each; after each line it says its share, as it is told a moment later.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from app.background import Background
from app.deployment import Deployment
from app.http.census import Census
from app.http.presence import Presence
from app.redis.breakers import Breakers
from app.redis.clients import RedisClients

TELL_SECONDS = 0.2


async def main(document: str) -> None:
    clients = RedisClients(msgspec.json.decode(Path(document).read_bytes(), type=Deployment))
    presence = Presence()
    census = Census(presence, clients, Breakers(), TELL_SECONDS)
    watching = Background(census.watch)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        for user in line.split():
            presence.saw(user)
        await asyncio.sleep(4 * TELL_SECONDS)
        print(census.share(), flush=True)
    await watching.close()
    await census.leave()
    await clients.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
