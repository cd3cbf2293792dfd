"""Taking back a fence whose mover has died, by any process that finds its writes held up."""

from __future__ import annotations

import logging
from typing import Any

from app.databases import ownership

log = logging.getLogger(__name__)

LEASE_SECONDS = 2.0
"""A fence older than this has no living mover: one gives up after `move.PAUSE_SECONDS`, far sooner."""

STALE = """
SELECT move, peer FROM slots WHERE slot = $1 AND state = 'fenced'
AND changed_at < clock_timestamp() - make_interval(secs => $2)"""


async def stale_fence(owner: Any, slot: int) -> Any:
    """The move and the other shard (`move`, `peer`) of a fence on `slot` that is past its lease; None if it is not."""
    return await owner.fetchrow(STALE, slot, LEASE_SECONDS)


async def take_back(owner: Any, peer: Any, move: Any) -> None:
    """Settle the move's fence: where the other shard has taken over, give the slots up; else lift the fence.

    The hand-over is revoked first, so a mover that is only slow finds it refused.
    """
    if await ownership.revoke(peer, move):
        lifted = await ownership.lift(owner, move)
        log.warning("move %s left a fence on %d slots; it was lifted", move, lifted)
        return
    rows = await peer.fetch(
        f"SELECT epoch, array_agg(slot) AS slots FROM slots WHERE move = $1 AND {ownership.IS_OWNER} GROUP BY 1", move
    )
    for row in rows:
        await ownership.give_up(owner, row["slots"], move, row["epoch"])
    log.warning("move %s left a fence after its hand-over; the slots were given up", move)
