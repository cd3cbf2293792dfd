"""A mover that kills itself at one point of its way: `python -m tests.app.reshard.killed DOCUMENT ACTION POINT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from app import document
from app.reshard import journal
from app.reshard.move import Mover
from app.reshard.start import begin, sides, unfinished

SOURCE, TARGET, SLOTS = 1, 2, list(range(300, 334))


async def main(path: str, action: str, point: str) -> None:
    async def die(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    deployment = document.load(path)
    waiting = await unfinished(deployment)
    async with sides(deployment, SOURCE, TARGET) as (source, target):
        if waiting:
            (record,) = await journal.find(source.connection, waiting[0].id)
            mover = Mover(deployment, source, target, record, die)
        else:
            mover = await begin(deployment, source, target, SLOTS, 2**40, die)
        await getattr(mover, action)()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
