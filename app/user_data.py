"""What a user reads and writes: through the cache, never older than the user's own last write.

A read goes to the cache, and on a miss to the nearest replica that has reached the floor. A write goes to the
shard's primary; after its commit the key is invalidated in every region, and only then the user gets the answer,
together with a new `Footprint` that the session keeps. Within the region of the write the cache itself guarantees
that nothing older is read. In another region the invalidation may still be on its way, so a session that wrote
elsewhere reads past the cache for as long as the cache could hold the old value.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection
from uuid import UUID

import msgspec

from app.cache.cache import DistributedCache, required_floors
from app.databases.databases import CommitUnknown, Databases
from app.databases.floor import UNKNOWN, Floor
from app.databases.sharding import slot_of
from app.deployment import LimitConfig
from app.items import Deleted, Item, ItemRepository, Page, PreconditionFailed, Written, check_key
from app.users import User, UserRepository


class Footprint(msgspec.Struct, frozen=True):
    """A session's last write: the floor it gives, the region it was made in, and when (seconds since 1970)."""

    floor: Floor
    region: str
    at: float

    def encode(self) -> str:
        """As text, for the session."""
        return f"{self.floor.encode()} {self.region} {self.at:.0f}"

    def newest(self, other: Footprint | None) -> Footprint:
        """Of both writes the later place and time, with the floor that covers both."""
        if other is None:
            return self
        later = max(self, other, key=lambda footprint: footprint.at)
        return msgspec.structs.replace(later, floor=self.floor.joined(other.floor))

    @staticmethod
    @functools.lru_cache(8192)
    def decode(text: str) -> Footprint:
        """From `encode`'s text; a session shows the same one with every request. Raises ValueError."""
        floor, region, at = text.split(" ")
        return Footprint(Floor.decode(floor), region, float(at))


class UserData:
    """Users and items as one process in `region` reads and writes them.

    Raises what the repositories raise (app/items.py,
    app/databases/databases.py). `clock` is the time since 1970 in seconds.
    """

    def __init__(
        self,
        databases: Databases,
        cache: DistributedCache,
        region: str,
        clock: Callable[[], float] = time.time,
        items_per_user: int = LimitConfig().items_per_user,
    ) -> None:
        self._databases = databases
        self._users = UserRepository(databases)
        self._items = ItemRepository(databases, items_per_user)
        self._cache = cache
        self._region = region
        self._clock = clock

    async def user(self, user_id: UUID, last: Footprint | None = None) -> User | None:
        """The user, or None when not registered."""
        return await self._cache.get_or_load(
            f"user:{user_id}", lambda: self._users.get(user_id, floor=_floor(last)), User
        )

    async def registered(self, user_id: UUID) -> User | None:
        """The user as the primary knows them: a log-in may follow the registration faster than a replica does."""
        return await self.user(user_id) or await self._users.get(user_id, floor=self._newest(user_id))

    async def register(self, region: str, key: str | None = None) -> User:
        """Register a user who lives in `region`, and whose shard is at home there where any shard is.

        The same `key` gives the same user: the id is drawn from it. Slots that moved to another region in between
        could give another one; the identity provider keeps the first answer.
        """
        user_id = self._draw(region, key or uuid.uuid4().hex)
        async with self._forgetting(user_id, f"user:{user_id}"):
            user, floor = await self._users.register(region, user_id)
        await self._cache.invalidate(f"user:{user.id}", floors=_floors(floor))
        return user

    async def get(self, user_id: UUID, key: str, last: Footprint | None) -> Item | None:
        """The item, or None."""
        if last is not None and self._elsewhere(last):
            return await self._items.get(user_id, key, floor=last.floor)
        return await self._cache.get_or_load(
            _item_key(user_id, check_key(key)),
            lambda: self._items.get(user_id, key, floor=_floor(last)),
            Item,
        )

    async def list(self, user_id: UUID, after: str, limit: int, prefix: str, last: Footprint | None) -> Page:
        """A page of items, from the database: a page is too many keys to invalidate."""
        return await self._items.list(user_id, after, limit, prefix, floor=None if last is None else last.floor)

    async def put(
        self,
        user_id: UUID,
        key: str,
        value: bytes,
        content_type: str,
        expected: Collection[int] | None,
        idempotency_key: str | None,
    ) -> tuple[Written, Footprint]:
        """Write an item; the footprint is for the user's session."""
        async with self._forgetting(user_id, _item_key(user_id, key)):
            written = await self._items.put(user_id, key, value, content_type, expected, idempotency_key)
        return written, await self._after(user_id, key, written.floor)

    async def delete(
        self, user_id: UUID, key: str, expected: Collection[int] | None, idempotency_key: str | None
    ) -> tuple[Deleted, Footprint]:
        """Delete an item; the footprint is for the user's session."""
        async with self._forgetting(user_id, _item_key(user_id, key)):
            deleted = await self._items.delete(user_id, key, expected, idempotency_key)
        return deleted, await self._after(user_id, key, deleted.floor)

    @contextlib.asynccontextmanager
    async def _forgetting(self, user_id: UUID, cached: str) -> AsyncIterator[None]:
        """A write that ends without an answer may have been done, and one that failed for its version shows that what
        is cached may be old: the caches forget `cached`, and who loads it next asks the primary.
        """
        floors = _floors(self._newest(user_id))
        try:
            yield
        except (CommitUnknown, PreconditionFailed):
            await self._cache.invalidate(cached, floors=floors)
            raise
        except asyncio.CancelledError:
            self._cache.invalidate_soon(cached, floors=floors)
            raise

    async def _after(self, user_id: UUID, key: str, floor: Floor) -> Footprint:
        await self._cache.invalidate(_item_key(user_id, key), floors=_floors(floor))
        return Footprint(floor, self._region, self._clock())

    def _elsewhere(self, last: Footprint) -> bool:
        """Whether this region's cache may still hold what the session's last write replaced."""
        config = self._cache.config
        return last.region != self._region and self._clock() - last.at < config.l2_ttl_seconds + config.stale_seconds

    def _draw(self, region: str, key: str) -> UUID:
        """The first id of the sequence that `key` begins whose shard is at home in `region`."""
        shard_map = self._databases.shards.map
        near = any(shard.home == region and shard_map.slots_of(shard.id) for shard in shard_map.config.shards)
        for number in itertools.count():
            drawn = hashlib.sha256(f"{number} {key}".encode()).digest()
            user_id = UUID(bytes=drawn[:16], version=4)
            if not near or shard_map.shard_for(user_id).home == region:
                return user_id
        raise AssertionError("unreachable")

    def _newest(self, user_id: UUID) -> Floor:
        """The floor that the primary alone reaches."""
        slot, known = slot_of(user_id), self._databases.shards.map
        return Floor(known.owner(slot), known.epoch_of(slot), UNKNOWN)


def _item_key(user_id: UUID, key: str) -> str:
    return f"item:{user_id.int:032x}:{key}"


def _floors(floor: Floor) -> dict[int, tuple[int, int]]:
    return {floor.shard: (floor.epoch, floor.lsn)}


def _floor(last: Footprint | None) -> Floor | None:
    """Inside a loader: the later of the session's own floor and the one that an invalidation left behind."""
    floor = None if last is None else last.floor
    for shard, (epoch, lsn) in required_floors().items():
        floor = Floor(shard, epoch, lsn).joined(floor)
    return floor
