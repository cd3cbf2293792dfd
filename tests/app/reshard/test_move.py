"""Moves of slots under concurrent writers, on real servers, killed at each step."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import asyncpg
import pytest

from app.databases import ownership
from app.databases.databases import Call, CommitUnknown, Databases, DatabaseUnavailable
from app.deployment import Deployment
from app.reshard import journal
from app.reshard.journal import Step
from app.reshard.move import MoveError, Mover
from app.reshard.preflight import PreflightError
from app.reshard.start import begin, sides, unfinished
from app.users import UserRepository
from tests.app.fixtures_postgres import MakeDatabases, PostgresShards
from tests.app.logs import append, log
from tests.app.reshard.helpers import FREE, user_in
from tests.app.reshard.killed import SLOTS, SOURCE, TARGET

pytestmark = pytest.mark.reshard

WRITERS = 4


@pytest.fixture(autouse=True)
async def no_leftovers(deployment: Deployment) -> AsyncIterator[None]:
    """End what a failed test left, so that the next one starts clean."""
    yield
    for record in await unfinished(deployment):
        async with sides(deployment, record.source, record.target) as (source, target):
            await Mover(deployment, source, target, record).close()


class Writers:
    """Concurrent writers that append operation ids to their users' logs, and the history of what they were told."""

    def __init__(self, databases: Databases, users: list[UUID]) -> None:
        self.users = users
        self.acknowledged: dict[UUID, list[str]] = {user: [] for user in users}
        self.unknown: dict[UUID, set[str]] = {user: set() for user in users}
        self.failed: dict[UUID, set[str]] = {user: set() for user in users}
        self.longest = 0.0
        self._databases = databases
        self._stop = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._write(self.users[n::WRITERS])) for n in range(WRITERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)

    async def more(self, number: int = 20) -> None:
        """Wait until `number` more writes are acknowledged."""
        target = self.count() + number
        async with asyncio.timeout(30):
            while self.count() < target:
                await asyncio.sleep(0.01)

    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    async def _write(self, users: list[UUID]) -> None:
        number = 0
        while not self._stop:
            user = users[number % len(users)]
            number += 1
            operation = uuid.uuid4().hex[:8]
            began = time.monotonic()
            try:
                await append(self._databases, user, operation, key=operation, timeout=15)
            except CommitUnknown:
                self.unknown[user].add(operation)
            except DatabaseUnavailable:
                self.failed[user].add(operation)
            else:
                self.acknowledged[user].append(operation)
                self.longest = max(self.longest, time.monotonic() - began)
            await asyncio.sleep(0.002)

    async def check(self, databases: Databases) -> None:
        """Final reads: each acknowledged write once and in its order, each unknown one at most once, no other."""
        for user in self.users:
            words = await log(databases, user)
            assert len(words) == len(set(words)), "a write was applied twice"
            done = [operation for operation in words if operation not in self.unknown[user]]
            assert done == self.acknowledged[user], "acknowledged writes differ from what is stored"


@pytest.fixture
async def writers(databases: Databases) -> AsyncIterator[Writers]:
    """Writers on users of the slots that move, and of some that stay."""
    users = [user_in(SLOTS) for _ in range(6)] + [user_in(range(300)) for _ in range(2)]
    for user in users:
        await UserRepository(databases).register("us-west", user)
    async with Writers(databases, users) as running:
        await running.more()
        yield running


@contextlib.asynccontextmanager
async def mover(deployment: Deployment) -> AsyncIterator[Mover]:
    """The unfinished move's mover, else a new one's."""
    waiting = await unfinished(deployment)
    async with sides(deployment, SOURCE, TARGET) as (source, target):
        if waiting:
            yield Mover(deployment, source, target, waiting[0])
        else:
            yield await begin(deployment, source, target, SLOTS, FREE)


async def leftovers(deployment: Deployment) -> list[str]:
    """Publications, replication slots, subscriptions, markers and fences that a move left on its two shards."""
    found = []
    async with sides(deployment, SOURCE, TARGET) as (source, target):
        for side in (source, target):
            for query in (
                "SELECT pubname::text FROM pg_publication",
                "SELECT slot_name::text FROM pg_replication_slots WHERE slot_type = 'logical'",
                "SELECT subname::text FROM pg_subscription",
                "SELECT 'marker' FROM move_markers",
                "SELECT 'fenced or incoming' FROM slots WHERE state IN ('fenced', 'incoming')",
            ):
                found += [row[0] for row in await side.connection.fetch(query)]
    return found


async def rows_of_moved_slots(deployment: Deployment) -> dict[int, int]:
    async with sides(deployment, SOURCE, TARGET) as both:
        return {
            side.shard.id: await side.connection.fetchval("SELECT count(*) FROM items WHERE slot = ANY ($1)", SLOTS)
            for side in both
        }


async def owners(deployment: Deployment) -> dict[int, list[int]]:
    """The slots of the move that each of its shards says it owns."""
    async with sides(deployment, SOURCE, TARGET) as both:
        return {
            side.shard.id: [
                row["slot"]
                for row in await side.connection.fetch(
                    "SELECT slot FROM slots WHERE slot = ANY ($1) AND state = 'owned' ORDER BY 1", SLOTS
                )
            ]
            for side in both
        }


async def test_slots_move_under_load_and_nothing_is_lost(
    deployment: Deployment,
    writers: Writers,
    databases: Databases,
    make_databases: MakeDatabases,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with mover(deployment) as move:
        record = await move.run()
    await writers.more()
    pause, before, after = (record.facts[name] for name in ("switch", "checksums before", "checksums after"))
    with capsys.disabled():
        print(f"\nreshard: pause {pause['pause_milliseconds']} ms, slowest write {writers.longest * 1000:.0f} ms")
    assert pause["pause_milliseconds"] < 1000
    assert writers.longest < 1.5
    assert before["chunks"] > 0
    assert after["rows"] > before["rows"]
    assert await owners(deployment) == {SOURCE: [], TARGET: SLOTS}
    async with mover(deployment) as move:
        assert (await move.finish()).step is Step.FINISHED
    await writers.__aexit__()
    await writers.check(databases)
    await writers.check(await make_databases(region="ap-south"))
    assert await leftovers(deployment) == []
    assert (await rows_of_moved_slots(deployment))[SOURCE] == 0


async def test_a_switched_move_is_reversed_with_all_that_was_written_since(
    deployment: Deployment, writers: Writers, databases: Databases
) -> None:
    async with mover(deployment) as move:
        await move.run()
        await writers.more(50)
        assert (await move.reverse()).step is Step.REVERSED
    await writers.more()
    await writers.__aexit__()
    await writers.check(databases)
    assert await owners(deployment) == {SOURCE: SLOTS, TARGET: []}
    assert await leftovers(deployment) == []
    assert (await rows_of_moved_slots(deployment))[TARGET] == 0


async def run_until(deployment: Deployment, path: Path, action: str, point: str) -> None:
    """Run the mover in a process of its own that is killed at `point`."""
    (path / "deployment.json").write_bytes(deployment.encode())
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.app.reshard.killed", str(path / "deployment.json"), action, point),
        cwd=Path(__file__).parents[3],
        env={**os.environ},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == -signal.SIGKILL, f"{point} was not reached: {errors.decode()[-1500:]}"


POINTS = [
    "begin: copy",
    "published",
    "subscribed",
    "end: copy",
    "fenced: compare before",
    "drained: compare before",
    "snapshots before",
    "end: compare",
    "published back",
    "end: open the way back",
    "fenced: switch",
    "drained: switch",
    "handed over: switch",
    "end: switch",
    "end: close the way out",
    "fenced: compare after",
    "end: compare back",
]


@pytest.mark.parametrize("point", POINTS)
async def test_a_move_killed_at_any_point_goes_on(
    deployment: Deployment, writers: Writers, databases: Databases, tmp_path: Path, point: str
) -> None:
    await run_until(deployment, tmp_path, "run", point)
    await writers.more()
    async with mover(deployment) as move:
        assert (await move.run()).step is Step.SWITCHED
        await writers.more()
        await move.finish()
    await writers.__aexit__()
    await writers.check(databases)
    assert await owners(deployment) == {SOURCE: [], TARGET: SLOTS}
    assert await leftovers(deployment) == []


@pytest.mark.parametrize("point", ["published", "subscribed", "snapshots before", "published back", "drained: switch"])
async def test_a_move_killed_before_its_switch_is_aborted_cleanly(
    deployment: Deployment, writers: Writers, databases: Databases, tmp_path: Path, point: str
) -> None:
    await run_until(deployment, tmp_path, "run", point)
    async with mover(deployment) as move:
        assert (await move.abort()).step is Step.ABORTED
    await writers.more()
    await writers.__aexit__()
    await writers.check(databases)
    assert await owners(deployment) == {SOURCE: SLOTS, TARGET: []}
    assert await leftovers(deployment) == []
    assert (await rows_of_moved_slots(deployment))[TARGET] == 0


@pytest.mark.parametrize(
    ("action", "point", "end"),
    [
        ("reverse", "fenced: switch back", Step.REVERSED),
        ("reverse", "handed over: switch back", Step.REVERSED),
        ("reverse", "end: switch back", Step.REVERSED),
        ("finish", "begin: finish", Step.FINISHED),
        ("finish", "end: finish", Step.FINISHED),
    ],
)
async def test_the_ways_out_of_a_switched_move_go_on_after_a_kill(
    deployment: Deployment, writers: Writers, databases: Databases, tmp_path: Path, action: str, point: str, end: Step
) -> None:
    async with mover(deployment) as move:
        await move.run()
    await run_until(deployment, tmp_path, action, point)
    await writers.more()
    async with mover(deployment) as move:
        assert (await move.run()).step is end
    await writers.__aexit__()
    await writers.check(databases)
    assert await leftovers(deployment) == []


async def test_writers_take_back_the_fence_of_a_mover_that_died(
    deployment: Deployment, writers: Writers, databases: Databases, tmp_path: Path
) -> None:
    await run_until(deployment, tmp_path, "run", "drained: switch")
    await writers.more(100)  # nobody else lifts it
    assert await owners(deployment) == {SOURCE: SLOTS, TARGET: []}
    assert writers.longest < 5
    async with mover(deployment) as move:
        await move.abort()
    await writers.__aexit__()
    await writers.check(databases)


@pytest.mark.usefixtures("writers")
async def test_a_switched_move_cannot_be_aborted(deployment: Deployment, tmp_path: Path) -> None:
    await run_until(deployment, tmp_path, "run", "handed over: switch")
    async with mover(deployment) as move:
        with pytest.raises(MoveError, match="taken the slots over already"):
            await move.abort()
        await move.run()
        await move.finish()


async def test_a_difference_between_the_copies_stops_the_move_before_its_switch(
    deployment: Deployment, writers: Writers, postgres: PostgresShards
) -> None:
    async def spoil(reached: str) -> None:
        if reached == "end: copy":
            connection = await asyncpg.connect(**postgres.primaries[TARGET].dsn())
            await connection.execute("SET session_replication_role = replica")  # as nobody but replication can
            await connection.execute("DELETE FROM users WHERE slot = ANY ($1)", SLOTS)
            await connection.close()

    async with sides(deployment, SOURCE, TARGET) as (source, target):
        move = await begin(deployment, source, target, SLOTS, FREE, spoil)
        with pytest.raises(MoveError, match=r"chunks differ before the switch; abort\. Rows of the first: users"):
            await move.run()
        await writers.more()
        await move.abort()
    assert await owners(deployment) == {SOURCE: SLOTS, TARGET: []}


async def test_a_long_transaction_breaks_the_pause_off_instead_of_stretching_it(
    deployment: Deployment, writers: Writers, databases: Databases
) -> None:
    held = user_in(SLOTS)
    await UserRepository(databases).register("us-west", held)
    holding: list[asyncio.Task[Call]] = []

    async def start_holding(reached: str) -> None:
        # Not before: a replication slot is made only once no transaction is open.
        if reached == "begin: compare":
            holding.append(asyncio.create_task(append(databases, held, "long", seconds=1.5, timeout=30)))
            await asyncio.sleep(0.1)

    async with sides(deployment, SOURCE, TARGET) as (source, target):
        move = await begin(deployment, source, target, SLOTS, FREE, start_holding)
        record = await move.run()
        await move.finish()
    assert await log(databases, held, (await holding[0]).floor) == ["long"]
    assert record.facts["compare before: pauses broken off"] >= 1
    assert record.facts["compare before"]["pause_milliseconds"] < 1000
    assert writers.longest < 2


@pytest.mark.parametrize(
    ("spoil", "repair", "message"),
    [
        (
            "CREATE SEQUENCE numbers",
            "DROP SEQUENCE numbers",
            "sequences are not replicated, and the schema has numbers",
        ),
        ("ALTER TABLE items ADD extra int", "ALTER TABLE items DROP extra", "columns of the two shards differ"),
        (
            "ALTER TABLE users REPLICA IDENTITY NOTHING",
            "ALTER TABLE users REPLICA IDENTITY DEFAULT",
            "users has no replica identity with the slot in it",
        ),
        (
            "SELECT pg_create_logical_replication_slot('hal9_move_old', 'pgoutput')",
            "SELECT pg_drop_replication_slot('hal9_move_old')",
            "inactive replication slot hal9_move_old",
        ),
        (
            "UPDATE slots SET state = 'moved' WHERE slot = 310",
            "UPDATE slots SET state = 'owned' WHERE slot = 310",
            "shard 1 does not own the slots 310",
        ),
    ],
)
async def test_what_stands_in_the_way_is_found_before_anything_changes(
    deployment: Deployment, spoil: str, repair: str, message: str
) -> None:
    async with sides(deployment, SOURCE, TARGET) as (source, target):
        await source.connection.execute(spoil)
        try:
            with pytest.raises(PreflightError, match=message):
                await begin(deployment, source, target, SLOTS, FREE)
        finally:
            await source.connection.execute(repair)
        assert await journal.find(source.connection) == []


@pytest.mark.parametrize(("free", "message"), [(None, "free disk is not known"), (10, "10 bytes free")])
@pytest.mark.usefixtures("writers")
async def test_a_move_needs_room_on_the_target(deployment: Deployment, free: int | None, message: str) -> None:
    async with sides(deployment, SOURCE, TARGET) as (source, target):
        with pytest.raises(PreflightError, match=message):
            await begin(deployment, source, target, SLOTS, free)


async def test_two_movers_do_not_work_at_once(deployment: Deployment) -> None:
    async with sides(deployment, SOURCE, TARGET):
        with pytest.raises(MoveError, match="another mover is at work"):
            async with sides(deployment, TARGET, 3):
                pass


async def test_the_hand_over_waits_for_the_last_write_to_arrive(
    deployment: Deployment,
    writers: Writers,
    databases: Databases,
    postgres: PostgresShards,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = await asyncpg.connect(**postgres.primaries[TARGET].dsn())
    arm = ownership.arm

    async def hold_the_stream_up(*arguments: Any) -> None:
        await arm(*arguments)
        monkeypatch.setattr(ownership, "arm", arm)
        await lock.execute("BEGIN; LOCK TABLE items IN SHARE ROW EXCLUSIVE MODE")
        await writers.more(10)  # the source has them, the target cannot apply them
        asyncio.get_running_loop().call_later(0.3, lock.terminate)

    monkeypatch.setattr(ownership, "arm", hold_the_stream_up)
    async with mover(deployment) as move:
        record = await move.run()
        await writers.more()
        await move.finish()
    await writers.__aexit__()
    await writers.check(databases)
    assert record.facts["switch"]["pause_milliseconds"] > 200


async def test_a_revoked_hand_over_never_happens(deployment: Deployment) -> None:
    async with sides(deployment, SOURCE, TARGET) as (source, target):
        move = uuid.uuid4()
        await ownership.arm(target.connection, SLOTS, move, SOURCE)
        await ownership.fence(source.connection, SLOTS, move, TARGET)
        assert await ownership.revoke(target.connection, move)
        with pytest.raises(ownership.OwnershipError, match="revoked"):
            await ownership.take_over(target.connection, SLOTS, move, 2)
        assert await ownership.lift(source.connection, move) == len(SLOTS)
