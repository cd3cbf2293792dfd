"""A process with one key in its L1: `python -m tests.app.cache.reader <document> <key>`.

It reads the key once for each line on stdin, the first time without being asked, and says as JSON what it got and
whether L1 had it. End of input ends it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from app.cache import DistributedCache
from app.deployment import Deployment
from app.redis.clients import RedisClients
from tests.app.cache.source import peek


async def main(document: str, key: str) -> None:
    clients = RedisClients(msgspec.json.decode(Path(document).read_bytes(), type=Deployment))
    cache = DistributedCache(clients)
    await cache.start()
    await peek(cache, key, str)  # from L2 into L1
    while True:
        hits = cache.stats.l1_hits
        value = await peek(cache, key, str)
        print(msgspec.json.encode({"value": value, "l1": cache.stats.l1_hits > hits}).decode(), flush=True)
        if not await asyncio.to_thread(sys.stdin.readline):
            break
    await cache.close()
    await clients.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
