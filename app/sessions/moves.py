"""`SessionMoves`: a session that is not here is found in the other regions and moves here, or is adopted.

The copies are asked all at once; found, it moves by one atomic step on the server that owns it (records.py).
Where the owner does not answer, what its copy here shows is carried on with.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import msgspec

from app.redis.away import AWAY
from app.sessions.records import (
    ADOPT,
    MOVE,
    Malformed,
    Move,
    heartbeat_key,
    is_gone,
    is_live,
    is_move,
    session_key,
    version_of,
)
from app.sessions.stores import Session, SessionStores, SessionsUnreachable

COPY_SECONDS = 10.0
"""A copy whose primary's heartbeat is older says nothing about what it does not hold."""
HOPS = 6
"""Most regions a session is followed through: it moves at human speed, so more is a broken record."""
LATE_TRIES, LATE_SECONDS = 3, 0.03
"""How often, and how long each time, a session is waited for that is on its way to another region."""


class SessionMoves:
    """Brings sessions here from the other regions."""

    def __init__(self, stores: SessionStores) -> None:
        self._stores = stores
        self._region = stores.region
        self._clients = stores.clients

    async def find(self, session_id: str, local: bytes | None) -> Session | None:
        """Ask the other regions' copies, then move the session here; `local` is what this region's store has of it.

        Raises: SessionsUnreachable.
        """
        try:
            return await self._find(session_id, local)
        except Malformed:
            self._stores.refused("malformed")
            return None

    async def _find(self, session_id: str, local: bytes | None) -> Session | None:
        records, unknown = await self._ask_copies(session_id)
        if any(is_gone(record) for record in records.values()):
            return None
        if local is not None:
            records[self._region] = local
        if not records:
            if unknown:
                raise SessionsUnreachable(unknown)
            return None
        region = max(records, key=lambda name: (version_of(records[name]), is_live(records[name])))
        newest = records[region]
        if is_move(newest):
            return await self._follow(session_id, Move.parse(newest))
        if not is_live(newest):
            raise Malformed("neither L nor M nor G")
        return await self._follow(session_id, Move(version_of(newest), region, region, newest))

    async def _ask_copies(self, session_id: str) -> tuple[dict[str, bytes], list[str]]:
        """What the other regions hold, and the regions of which that cannot be said."""
        regions = self._clients.other_regions
        records: dict[str, bytes] = {}
        unknown: list[str] = []

        async def ask(region: str) -> None:
            record, heartbeat = await self._copy(region, session_id)
            if record is not None:
                records[region] = record
            elif self._clients.has_copy(region) and time.time() - int(heartbeat or 0) / 1000 > COPY_SECONDS:
                unknown.append(region)

        asked = {region: asyncio.create_task(ask(region)) for region in regions}
        if asked:
            await asyncio.wait(asked.values(), timeout=self._stores.config.fallback_deadline_seconds)
        for region, task in asked.items():
            if not task.done():
                task.cancel()
                unknown.append(region)
            elif (error := task.exception()) is not None:
                if not isinstance(error, AWAY):
                    raise error
                unknown.append(region)
        return records, unknown

    async def _follow(self, session_id: str, seen: Move) -> Session | None:
        """Go where `seen` says the session is, and bring it here. An L record is seen as a move to where it lies."""
        late = 0
        for _ in range(HOPS + LATE_TRIES):
            if seen.to == self._region:
                # It is here by now, or it is about to be, or who moved it died: then we store it.
                mine = await self._stores.read(session_id)
                if mine is None or version_of(mine) < seen.version:
                    return await self._arrive(session_id, seen)
                if not is_move(mine):
                    return self._stores.opened(mine, self._region, session_id) if is_live(mine) else None
                seen = Move.parse(mine)
                continue
            at = seen.to
            try:
                answer = await self._stores.run(MOVE, at, [session_key(at, session_id)], self._region, at)
                if answer[0] == b"absent" and at != seen.origin:
                    # On its way there, and not there yet: wait a little, then take it from under way.
                    late += 1
                    if late <= LATE_TRIES:
                        await asyncio.sleep(LATE_SECONDS)
                        continue
                    answer = await self._take_at(
                        session_id, at, msgspec.structs.replace(seen, version=seen.version + 1)
                    )
                    if answer[0] == b"took":
                        return await self._arrive(session_id, msgspec.structs.replace(seen, version=seen.version + 1))
            except AWAY as error:
                return await self._adopt(session_id, seen, error)
            if answer[0] == b"took":
                took = Move(version_of(answer[1]) + 1, self._region, at, answer[1])
                return await self._arrive(session_id, took)
            if answer[0] == b"moved":
                seen = Move.parse(answer[1])
            elif answer[0] != b"there":
                return None  # gone; or absent where it lay: it ended between the copy's answer and its owner's
        raise SessionsUnreachable([seen.to])

    async def _take_at(self, session_id: str, at: str, move: Move) -> Any:
        """Say at region `at` that this region takes the session as `move` has it."""
        expires = self._end_of(session_id, move)
        return await self._stores.run(
            ADOPT,
            at,
            [session_key(at, session_id)],
            self._region,
            move.version,
            move.origin,
            move.record,
            int(expires * 1000),
        )

    def _end_of(self, session_id: str, move: Move) -> float:
        session = self._stores.opened(move.record, move.origin, session_id)
        return time.time() + 1 if session is None else session.expires_at

    async def _arrive(self, session_id: str, move: Move) -> Session | None:
        """Store here what moves here, at the move's version."""
        session = self._stores.opened(move.record, move.origin, session_id)
        if session is None:
            return None
        session.region, session.version = self._region, move.version
        try:
            answer = await self._stores.put(session)
        except AWAY as error:
            raise SessionsUnreachable([self._region]) from error
        if answer[0] == b"ok":
            if self._stores.metrics is not None:
                self._stores.metrics.session_migrations.labels(source=move.origin, destination=self._region).inc()
            return session
        if answer[0] == b"other" and is_live(answer[1]):
            return self._stores.opened(answer[1], self._region, session_id)
        if answer[0] == b"other":
            return await self._follow(session_id, Move.parse(answer[1]))
        return None

    async def _adopt(self, session_id: str, seen: Move, error: BaseException) -> Session | None:
        """The owner does not answer, but a copy of what it held is here: carry on with it.

        The first of the other regions, by name, decides who takes it, so that two that adopt at once find each
        other; where that one is away too, this region decides for itself.
        """
        away = seen.to
        if away != seen.origin:
            # It was on its way there when that region was lost. The copy here tells whether it had arrived.
            shown = await self._shown(away, session_id, error)
            if shown is not None and version_of(shown) >= seen.version:
                if not is_live(shown):
                    return None if is_gone(shown) else await self._follow(session_id, Move.parse(shown))
                seen = Move(version_of(shown), away, away, shown)
        session = self._stores.opened(seen.record, seen.origin, session_id)
        if session is None:
            return None
        move = Move(seen.version + 1, self._region, seen.origin, seen.record)
        arbiter = min(name for name in (self._region, *self._clients.other_regions) if name != away)
        if arbiter != self._region:
            with contextlib.suppress(*AWAY):
                answer = await self._take_at(session_id, arbiter, move)
                if answer[0] == b"gone":
                    return None
                if answer[0] == b"there":
                    return await self._follow(session_id, Move(version_of(answer[1]), arbiter, arbiter, answer[1]))
                if answer[0] == b"moved" and Move.parse(answer[1]).to != self._region:
                    return await self._follow(session_id, Move.parse(answer[1]))
        adopted = await self._arrive(session_id, move)
        if adopted is not None:
            self._stores.pending.keep_trying(
                away, f"adopted {session_id}", lambda: self._take_at(session_id, away, move), adopted.expires_at
            )
        return adopted

    async def _shown(self, region: str, session_id: str, error: BaseException) -> bytes | None:
        """What the copy of another region's store holds. SessionsUnreachable where it does not answer or was never
        filled: then it says nothing about what it does not hold."""
        try:
            record, heartbeat = await self._copy(region, session_id)
        except AWAY as why:
            raise SessionsUnreachable([region]) from why
        if heartbeat is None:
            raise SessionsUnreachable([region]) from error
        return record

    async def _copy(self, region: str, session_id: str) -> tuple[bytes | None, bytes | None]:
        """The record and the primary's heartbeat in the copy here of another region's store. Raises one of AWAY."""
        record, heartbeat = await self._stores.ask_copy(region, session_key(region, session_id), heartbeat_key(region))
        return record, heartbeat
