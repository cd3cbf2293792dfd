"""A move of slots between two shards, as a state machine whose every step may die and be run again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg

from app.databases import ownership
from app.databases.connect import connect
from app.deployment import Deployment
from app.reshard import checksums, copying, journal, preflight
from app.reshard.journal import BEFORE_SWITCH, ENDS, Record, Step
from app.reshard.places import place_of
from app.reshard.replication import Side, Stream, StreamError
from app.reshard.tables import TABLES

PAUSE_SECONDS = 0.6
"""The longest write pause: a drain that takes longer is broken off, the fence lifted, and tried again later."""
MAX_LAG_SECONDS = 0.15
"""The stream's lag, measured right before, at which a pause is begun. A lag that cannot be measured is infinite."""
SETTLE_SECONDS = 30.0
"""How long to wait for such a lag."""
ATTEMPTS = 10
"""Pauses tried before the step fails; it can be run again."""
CHUNKS_SHOWN = 3
"""Chunks whose differing rows are named where copies differ."""
DELETE_SLOTS = 10
"""Slots whose rows are deleted in one transaction, after the move."""

Progress = Callable[[str], Awaitable[None]]


class MoveError(RuntimeError):
    """A move that cannot do what was asked. The message says where it stands."""


async def silent(_: str) -> None:
    """Tell nobody."""


class Mover:
    """Carries one move on. Made by `begin` or `resume`; both shards must be reachable.

    `progress` is awaited with a few words at every point where the state of the world has changed.
    """

    def __init__(
        self, deployment: Deployment, source: Side, target: Side, record: Record, progress: Progress = silent
    ) -> None:
        self.record = record
        self._deployment = deployment
        self._source = source
        self._target = target
        self._tell = progress
        self._out = Stream(f"{record.name}_out", record.id, record.slots, source, target)
        self._back = Stream(f"{record.name}_back", record.id, record.slots, target, source)
        self._steps: dict[Step, Callable[[], Awaitable[Step]]] = {
            Step.COPY: self._copy,
            Step.COMPARE: self._compare_out,
            Step.OPEN_WAY_BACK: self._open_way_back,
            Step.SWITCH: self._switch,
            Step.CLOSE_WAY_OUT: self._close_way_out,
            Step.COMPARE_BACK: self._compare_back,
            Step.SWITCH_BACK: self._switch_back,
            Step.FINISH: self._finish,
            Step.CLEAN_TARGET: self._clean_target,
            Step.ABORT: self._abort,
            Step.REPAIR: self._repair,
        }

    async def run(self) -> Record:
        """Go on until the slots are switched and compared, or to the end of what was begun after that.

        Raises: MoveError, also where a shard's primary is another instance than when the way back was opened.
        """
        await self._look_where()
        while self.record.step not in ENDS and self.record.step is not Step.SWITCHED:
            await self._tell(f"begin: {self.record.step}")
            following = await self._steps[self.record.step]()
            await self._tell(f"end: {self.record.step}")
            await self._go(following)
        return self.record

    async def finish(self, accept: bool = False) -> Record:
        """Close the way back and delete the source's copy. Raises MoveError unless the slots are switched.

        `accept`: although the two copies differ, or were not compared: the new owner's rows are what counts.
        """
        allowed = (Step.COMPARE_BACK, Step.REPAIR) if accept else ()
        if self.record.step is Step.COMPARE_BACK and not accept:
            raise MoveError(
                f"move {self.record.id} is at `{self.record.step}`: run it, or repair the source's copy, "
                "or finish with "
                "--accept: the target's rows are what counts then"
            )
        await self._only_from(Step.SWITCHED, Step.FINISH, *allowed)
        return await self._run_from(Step.FINISH)

    async def repair(self) -> Record:
        """Copy the slots back to the source anew, then compare again. Raises MoveError unless they are switched."""
        await self._only_from(Step.COMPARE_BACK, Step.SWITCHED, Step.REPAIR)
        await self._go(Step.REPAIR)
        return await self.run()

    async def reverse(self) -> Record:
        """Return the slots with all that was written since. Raises MoveError unless they are switched."""
        await self._only_from(Step.SWITCHED, Step.SWITCH_BACK, Step.CLEAN_TARGET)
        if self.record.step is not Step.CLEAN_TARGET:
            await self._same_places("the way back may have a gap: repair it first, or finish")
        return await self._run_from(Step.SWITCH_BACK)

    async def abort(self) -> Record:
        """Undo a move that has not switched. Raises MoveError when it has: then `reverse`."""
        await self._only_from(*BEFORE_SWITCH, Step.ABORT)
        if not await ownership.revoke(self._target.connection, self.record.id):
            raise MoveError("the target has taken the slots over already; run it to its end, then reverse it")
        return await self._run_from(Step.ABORT)

    async def _only_from(self, *steps: Step) -> None:
        if self.record.step not in steps:
            raise MoveError(f"move {self.record.id} is at `{self.record.step}`")

    async def _run_from(self, step: Step) -> Record:
        if self.record.step in (Step.SWITCHED, Step.COMPARE_BACK, Step.REPAIR, *BEFORE_SWITCH):
            await self._go(step)
        return await self.run()

    async def close(self) -> None:
        """Remove what the move has on both servers, whatever its step: for a move that nobody will go on with."""
        await self._back.close()
        await self._out.close()

    async def _places(self) -> list[str]:
        """Where the two primaries are now."""
        return [await place_of(side.connection) for side in (self._source, self._target)]

    async def _look_where(self) -> None:
        """Copy anew where a primary is another instance than when the streams were opened: they may have a gap."""
        if (
            self.record.step in BEFORE_SWITCH
            and self.record.facts.get("places", places := await self._places()) != places
        ):
            await self._tell("a primary is another instance than before: the slots are copied anew")
            if not await ownership.revoke(self._target.connection, self.record.id):
                # The hand-over has happened, by this very move: nothing of the way out is needed any more.
                return
            await ownership.lift(self._source.connection, self.record.id)
            await self.close()
            await self._delete(self._target)
            self.record.facts["copied anew"] = self.record.facts.get("copied anew", 0) + 1
            del self.record.facts["places"]
            await self._go(Step.COPY)

    async def _same_places(self, otherwise: str) -> None:
        if self.record.facts.get("places", places := await self._places()) != places:
            raise MoveError(f"a shard's primary is another instance than when the streams were opened; {otherwise}")

    async def _go(self, step: Step) -> None:
        self.record.step = step
        await journal.save(self._source.connection, self.record)

    # The steps, in their order

    async def _copy(self) -> Step:
        self.record.facts["places"] = await self._places()
        await journal.save(self._source.connection, self.record)
        await self._out.publish()
        await self._tell("published")
        await self._out.subscribe(self._deployment, copy=True)
        await self._tell("subscribed")
        await copying.copy(self._out, self._tell)
        return Step.COMPARE

    async def _compare_out(self) -> Step:
        await self._compare(self._out, "before")
        return Step.OPEN_WAY_BACK

    async def _open_way_back(self) -> Step:
        await self._back.publish()
        await self._tell("published back")
        await self._back.subscribe(self._deployment, copy=False)
        return Step.SWITCH

    async def _repair(self) -> Step:
        await self._back.close()
        await self._delete(self._source)
        self.record.facts["places"] = await self._places()
        await journal.save(self._source.connection, self.record)
        await self._back.publish()
        await self._tell("published back")
        await self._back.subscribe(self._deployment, copy=True)
        await copying.copy(self._back, self._tell)
        return Step.COMPARE_BACK

    async def _switch(self) -> Step:
        await self._hand_over(self._out, self.record.epoch, "switch")
        return Step.CLOSE_WAY_OUT

    async def _close_way_out(self) -> Step:
        await self._out.close()
        return Step.COMPARE_BACK

    async def _compare_back(self) -> Step:
        await self._compare(self._back, "after")
        return Step.SWITCHED

    async def _switch_back(self) -> Step:
        await self._hand_over(self._back, self.record.epoch + ownership.EPOCHS, "switch back")
        return Step.CLEAN_TARGET

    async def _clean_target(self) -> Step:
        await self._back.close()
        await self._delete(self._target)
        return Step.REVERSED

    async def _finish(self) -> Step:
        await self._back.close()
        await self._delete(self._source)
        return Step.FINISHED

    async def _abort(self) -> Step:
        await ownership.revoke(self._target.connection, self.record.id)
        await ownership.lift(self._source.connection, self.record.id)
        await self._tell("fence lifted")
        await self._back.close()
        await self._out.close()
        await self._tell("streams closed")
        await self._delete(self._target)
        return Step.ABORTED

    # What they are made of

    async def _compare(self, stream: Stream, when: str) -> None:
        """Compare owner and copy exactly, chunk by chunk, in snapshots taken at one point of the stream.

        The fence is closed for as long as the drain and two snapshots take; the reading happens after it.
        Raises: MoveError with the chunks that differ.
        """
        owner = stream.sender.connection
        async with contextlib.AsyncExitStack() as readers:
            one = await readers.enter_async_context(self._reader(stream.sender))
            other = await readers.enter_async_context(self._reader(stream.receiver))

            async def snapshot() -> None:
                # The snapshot is taken by the first query.
                # The faster reader waits for the slower one in its transaction, however long that takes.
                take = (
                    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT FROM slots LIMIT 1; "
                    "SET LOCAL idle_in_transaction_session_timeout = 0"
                )
                await asyncio.gather(*(reader.execute(take) for reader in (one, other)))
                await self._tell(f"snapshots {when}")
                if await ownership.lift(owner, self.record.id) != len(self.record.slots):
                    raise ownership.OwnershipError("the fence was lifted before both snapshots were there")

            async def drop_snapshot() -> None:
                for reader in (one, other):
                    await reader.execute("ROLLBACK")

            await self._pause(stream, f"compare {when}", snapshot, drop_snapshot)
            here, there = await asyncio.gather(
                *(checksums.chunks(reader, self.record.slots) for reader in (one, other))
            )
            different = checksums.differing(here, there)
            rows = [await checksums.rows_that_differ(one, other, *chunk) for chunk in different[:CHUNKS_SHOWN]]
            await drop_snapshot()
        if different:
            way = "repair the source's copy, or finish with --accept" if when == "after" else "abort"
            raise MoveError(
                f"{len(different)} of {len(here.keys() | there.keys())} chunks differ {when} the switch; {way}. "
                f"Rows of the first: {'; '.join(row for chunk in rows for row in chunk)}"
            )
        self.record.facts[f"checksums {when}"] = checksums.summary(here)

    @contextlib.asynccontextmanager
    async def _reader(self, side: Side) -> AsyncIterator[asyncpg.Connection]:
        connection = await connect(self._deployment, side.shard, application_name="hal9-reshard")
        try:
            yield connection
        finally:
            await connection.close()

    async def _hand_over(self, stream: Stream, epoch: int, name: str) -> None:
        """Make the stream's receiver the owner, at `epoch`."""
        owner, receiver, slots, move = (
            stream.sender.connection,
            stream.receiver.connection,
            self.record.slots,
            self.record.id,
        )

        async def take_over() -> None:
            await ownership.take_over(receiver, slots, move, epoch)
            await self._tell(f"handed over: {name}")

        async def nothing() -> None:
            pass

        if not await ownership.has_taken_over(receiver, slots, move, epoch):
            odd = [problem async for problem in preflight.schema(self._source, self._target)]
            if odd:
                raise MoveError(f"nothing was fenced: {'; '.join(odd)}")
            await self._pause(stream, name, take_over, nothing, hands_over=True)
        await ownership.give_up(owner, slots, move, epoch)

    async def _pause(
        self,
        stream: Stream,
        name: str,
        work: Callable[[], Awaitable[None]],
        undo: Callable[[], Awaitable[None]],
        hands_over: bool = False,
    ) -> None:
        """Fence the stream's sender, drain the stream to the position reached, and do `work`; measure all of it.

        `work` ends the pause, by a hand-over or by lifting the fence. When the pause would become too long, or a
        process took the fence back (app/databases/recovery.py), it is lifted and tried again. A fence that an
        earlier, killed run left is lifted first: the pause must not wait for the lag to settle.
        """
        owner, receiver, slots, move = (
            stream.sender.connection,
            stream.receiver.connection,
            self.record.slots,
            self.record.id,
        )
        for attempt in range(ATTEMPTS):
            await self._lift(stream)
            if attempt:
                await asyncio.sleep(random.uniform(0.2, 0.5) * attempt)
            await self._settle(stream)
            if hands_over:
                await ownership.arm(receiver, slots, move, stream.sender.shard.id)
            began = time.monotonic()
            try:
                async with asyncio.timeout(PAUSE_SECONDS):
                    fence = await ownership.fence(owner, slots, move, stream.receiver.shard.id)
                    await self._tell(f"fenced: {name}")
                    await stream.arrival(fence.marker, PAUSE_SECONDS)
                    await self._tell(f"drained: {name}")
                await work()
            except (TimeoutError, StreamError, ownership.FenceBusy, ownership.OwnershipError) as error:
                self.record.facts[f"{name}: pauses broken off"] = attempt + 1
                await self._tell(f"pause broken off: {name}: {error or 'too long'}")
                await undo()
                continue
            self.record.facts[name] = {
                "pause_milliseconds": round((time.monotonic() - began) * 1000, 1),
                "drained_to": fence.position,
            }
            return
        await self._lift(stream)
        raise MoveError(
            f"{ATTEMPTS} pauses of {PAUSE_SECONDS} s were not enough to {name}; the fence is lifted. "
            f"Longest at work on shard {stream.sender.shard.id}: {await ownership.longest(owner) or 'nobody'}"
        )

    async def _lift(self, stream: Stream) -> None:
        if await ownership.revoke(stream.receiver.connection, self.record.id):
            await ownership.lift(stream.sender.connection, self.record.id)

    async def _settle(self, stream: Stream) -> None:
        """Wait until the stream's lag, measured by a marker beside the shards' distance, is small."""
        give_up = time.monotonic() + SETTLE_SECONDS
        while await stream.drain(SETTLE_SECONDS) - await stream.distance() > MAX_LAG_SECONDS:
            if time.monotonic() > give_up:
                raise MoveError(f"{stream.name} stays more than {MAX_LAG_SECONDS} s behind; nothing was fenced")

    async def _delete(self, side: Side) -> None:
        """Delete the slots' rows where they are not owned, a few slots at a time."""
        connection = side.connection
        for first in range(0, len(self.record.slots), DELETE_SLOTS):
            some = self.record.slots[first : first + DELETE_SLOTS]
            async with connection.transaction():
                await connection.execute("SELECT set_config('hal9.clearing', $1, true)", str(self.record.id))
                owned = await connection.fetch(
                    f"SELECT state FROM slots WHERE slot = ANY ($1) AND {ownership.IS_OWNER} FOR SHARE", some
                )
                if owned:
                    raise MoveError(f"shard {side.shard.id} owns slots whose rows were to be deleted; nothing was")
                for table in TABLES:
                    await connection.execute(f"DELETE FROM {table} WHERE slot = ANY ($1)", some)
        for shard in (self._source, self._target):
            await shard.connection.execute("DELETE FROM move_markers WHERE move = $1", self.record.id)
