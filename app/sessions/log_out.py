"""`SessionLogOuts`: sessions ended in every region at once. What carries the news on is in revocations.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec

from app.redis.away import AWAY
from app.sessions.records import REVOKE, REVOKE_USER, index_key, revocations_key, revoked_key, session_key
from app.sessions.stores import SessionStores


class LogOut(msgspec.Struct, frozen=True):
    """A log-out's reach: `pending` are regions that did not answer and are being told on."""

    pending: tuple[str, ...]


class SessionLogOuts(SessionStores):
    """The part of `DistributedSessionManager` that ends sessions."""

    async def delete_session(self, session_id: str, expires_at: float | None = None) -> LogOut:
        """End a session everywhere at once. Regions that do not answer are told until they do. Never raises for them."""
        now = time.time()
        until = expires_at or now + self._config.ttl_seconds
        self._revocations.add_session(session_id)
        self._touched.pop(session_id, None)

        async def revoke(region: str) -> None:
            await self._script(
                REVOKE, region, [session_key(region, session_id), revocations_key(region)],
                max(int(until * 1000), int(now * 1000) + 1000), int(now * 1000), f"s:{session_id}", self._keep_ms,
            )  # fmt: skip

        return await self._everywhere(f"s:{session_id}", revoke, until)

    async def delete_sessions_of(self, user_id: UUID) -> LogOut:
        """End all of a user's sessions, in every region, those also that are just being moved or saved."""
        now, user = time.time(), str(user_id)
        self._revocations.add_user(user, now)

        async def revoke(region: str) -> None:
            await self._script(
                REVOKE_USER, region, [revoked_key(region, user), index_key(region, user), revocations_key(region)],
                int(now * 1000), self._keep_ms, f"u:{user}", session_key(region, ""),
            )  # fmt: skip

        return await self._everywhere(f"u:{user}", revoke, now + self._config.ttl_seconds)

    async def _everywhere(self, what: str, write: Callable[[str], Any], until: float) -> LogOut:
        """`write(region)` in every region at once; it goes on when the caller is cancelled."""
        regions = [self._region, *self._clients.other_regions]

        async def run() -> LogOut:
            outcomes = await asyncio.gather(*(write(region) for region in regions), return_exceptions=True)
            pending = []
            for region, outcome in zip(regions, outcomes, strict=True):
                if isinstance(outcome, AWAY):
                    pending.append(region)
                    self._pending.keep_trying(region, what, lambda region=region: write(region), until)  # type: ignore[misc]
                elif isinstance(outcome, BaseException):
                    raise outcome
            return LogOut(tuple(pending))

        return await asyncio.shield(asyncio.create_task(run(), name="log-out"))
