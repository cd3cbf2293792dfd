"""Work that goes on beside the requests: begun once, begun again when it fails, ended with the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0


class Background:
    """Runs `watch`, which never returns by itself, until `close`. An error is logged and it is begun again."""

    def __init__(self, watch: Callable[[], Awaitable[object]], restart_seconds: float = RESTART_SECONDS) -> None:
        self._watch = watch
        self._restart_seconds = restart_seconds
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End it."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._watch()
            except Exception:
                log.exception("%s failed and is begun again", getattr(self._watch, "__qualname__", self._watch))
            await asyncio.sleep(self._restart_seconds)
