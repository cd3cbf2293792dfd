"""`LogOuts`: sessions ended in every region at once. What carries the news on is in revocations.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from app.redis.away import FAILURES, is_away
from app.sessions.records import (
    REVOKE,
    REVOKE_USER,
    digest,
    index_key,
    revocations_key,
    revoked_key,
    session_key,
    session_prefix,
)
from app.sessions.stores import SessionStores, SessionsUnreachable


class LogOuts:
    """Ends sessions in the stores of every region; those that do not answer are told until they do."""

    def __init__(self, stores: SessionStores) -> None:
        self._stores = stores

    async def end(self, session_id: str, expires_at: float | None, owner: str) -> tuple[str, ...]:
        """End a session everywhere at once; the regions that are still being told.

        Raises: SessionsUnreachable where the region that has the session, `owner`, did not take it. Then it is not
        ended yet, here neither: it is tried on, and may be asked for again.
        """
        stores = self._stores
        now = time.time()
        until = expires_at or now + stores.config.ttl_seconds
        member = f"s:{digest(session_id)}"

        async def revoke(region: str) -> None:
            await stores.run(
                REVOKE,
                region,
                [session_key(region, session_id), revocations_key(region)],
                max(int(until * 1000), int(now * 1000) + 1000),
                member,
                stores.keep_ms,
            )
            if region == owner:
                stores.revocations.add_session(session_id)

        pending = await self._everywhere(member, revoke, until)
        if owner in pending:
            raise SessionsUnreachable([owner])
        return pending

    async def end_all(self, user_id: UUID) -> tuple[str, ...]:
        """End all of a user's sessions, in every region, those also that are just being moved or saved.

        Any region may have one, so all of them must have taken it. Raises: SessionsUnreachable where one has not.
        """
        stores = self._stores
        now, user = time.time(), str(user_id)
        member = f"u:{user}"

        async def revoke(region: str) -> None:
            await stores.run(
                REVOKE_USER,
                region,
                [revoked_key(region, user), index_key(region, user), revocations_key(region)],
                int(now * 1000),
                stores.keep_ms,
                member,
                session_prefix(region),
            )

        pending = await self._everywhere(member, revoke, now + stores.config.ttl_seconds)
        if pending:
            raise SessionsUnreachable(list(pending))
        stores.revocations.add_user(user, now)
        return pending

    async def _everywhere(self, what: str, write: Callable[[str], Any], until: float) -> tuple[str, ...]:
        """`write(region)` in every region at once; it goes on when the caller is cancelled. What is still pending."""
        stores = self._stores
        regions = [stores.region, *stores.clients.other_regions]

        async def run() -> tuple[str, ...]:
            outcomes = await asyncio.gather(*(write(region) for region in regions), return_exceptions=True)
            failed = {
                region: error
                for region, error in zip(regions, outcomes, strict=True)
                if isinstance(error, BaseException)
            }
            for region, error in failed.items():
                if isinstance(error, FAILURES):
                    stores.pending.keep_trying(region, what, lambda region=region: write(region), until)  # type: ignore[misc]
            for error in failed.values():
                if not is_away(error):
                    raise error
            return tuple(failed)

        return await asyncio.shield(asyncio.create_task(run(), name="log-out"))
