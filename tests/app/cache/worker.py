"""A process that waits for one key with many coroutines: `python -m tests.app.cache.worker <document> <waiters>`.

It says "ready" when L1 is trusted, begins at a line on stdin, and says how many got the value, and which loads it did.
The loader takes its time and counts itself in Redis, where all processes' loads add up. `die` as a third argument
ends the process in the middle of its load, as kill -9 would.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec

from app.cache import DistributedCache
from app.deployment import Deployment
from app.redis.clients import RedisClients


async def main(document: str, waiters: int, die: bool) -> None:
    clients = RedisClients(msgspec.json.decode(Path(document).read_bytes(), type=Deployment))
    cache = DistributedCache(clients)
    await cache.start()

    async def load() -> dict[str, int]:
        count = await clients.sessions(clients.region).execute_command("INCR", "loads")
        if die:
            print("loading", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        await asyncio.sleep(0.5)
        return {"loaded": count}

    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    values = await asyncio.gather(*(cache.get_or_load("cold", load, dict) for _ in range(waiters)))
    right = sum(value is not None and "loaded" in value for value in values)
    print(msgspec.json.encode({"right": right, "loads": cache.stats.loads}).decode(), flush=True)
    await cache.close()
    await clients.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["die"]))
