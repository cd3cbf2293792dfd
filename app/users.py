"""Users: who is registered, on the shard that their id names."""

from __future__ import annotations

import datetime
from uuid import UUID

import msgspec

from app.databases.databases import Databases
from app.databases.floor import Floor


class User(msgspec.Struct, frozen=True, rename="camel"):
    """A registered user: the id, the region whose shard holds them, and since when (UTC)."""

    id: UUID
    region: str
    created_at: datetime.datetime


class UserRepository:
    """Reads and writes of `users`."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def register(
        self, region: str, user_id: UUID | None = None, timeout: float | None = None
    ) -> tuple[User, Floor]:
        """Register a user at home in `region`, under a new id drawn for it unless one is given; safe to repeat.

        Raises: ShardingError when the region has no shard of its own, and what a write raises.
        """
        user_id = user_id or self._databases.shards.map.new_user_id(region)

        call = await self._databases.writes.call(
            user_id, "CALL register_user($1, $2, $3, $4, NULL, NULL, NULL)", user_id, region, timeout=timeout
        )
        return User(user_id, call.row["home"], call.row["since"]), call.floor

    async def get(self, user_id: UUID, floor: Floor | None = None, timeout: float | None = None) -> User | None:
        """The user, or None when not registered."""
        (row,) = await self._databases.reads.fetch_owned(
            user_id,
            "SELECT s.state, u.region, u.created_at FROM slots s "
            "LEFT JOIN users u ON u.slot = s.slot AND u.user_id = $2 WHERE s.slot = $1",
            user_id,
            floor=floor,
            timeout=timeout,
        )
        return None if row["region"] is None else User(user_id, row["region"], row["created_at"])
