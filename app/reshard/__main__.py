"""`python -m app.reshard plan|run|status|abort|reverse|repair|finish
--document FILE`: move slots between shards online.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import asyncio
import contextlib
import functools
import sys
import time
from collections.abc import Awaitable, Callable

import asyncpg
import msgspec

from app import document
from app.databases.connect import connect
from app.databases.credentials import CredentialsError
from app.databases.ownership import FenceBusy, OwnershipError, owned_by
from app.databases.slots import describe, parse
from app.deployment import Deployment
from app.reshard import journal, preflight
from app.reshard.journal import Record, Step
from app.reshard.move import MoveError, Mover
from app.reshard.preflight import PreflightError
from app.reshard.receipt import edit, receipt
from app.reshard.replication import StreamError
from app.reshard.start import begin, sides, unfinished

FAILURES = (
    document.DocumentError,
    MoveError,
    PreflightError,
    OwnershipError,
    FenceBusy,
    StreamError,
    CredentialsError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


def parse_slots(text: str) -> list[int]:
    """`300-333,400` as slots. Raises argparse.ArgumentTypeError."""
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.reshard", description="Move slots between shards online.")
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "plan": "what would move, and what stands in the way",
        "run": "move the slots, or go on with the move that was interrupted",
        "status": "the moves that are not at their end, or all of them",
        "abort": "undo a move that has not switched yet",
        "reverse": "return the slots of a switched move, with every write made since",
        "finish": "close the way back of a switched move and delete the source's copy",
        "repair": "copy the slots of a switched move back to the source anew, and compare again",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--document", required=True, help="the deployment document")
        if name in ("plan", "run"):
            required = name == "plan"
            command.add_argument("--from", dest="source", type=int, required=required, help="the source shard's id")
            command.add_argument("--to", dest="target", type=int, required=required, help="the target shard's id")
            command.add_argument("--slots", type=parse_slots, required=required, help="such as 300-333,400")
            command.add_argument("--target-free-gib", type=float, help="the target's free disk")
        if name == "run":
            command.add_argument("--finish", action="store_true", help="then close the way back at once")
        if name == "finish":
            command.add_argument("--accept", action="store_true", help="although the source's copy differs")
        if name == "status":
            command.add_argument("--all", action="store_true", help="ended moves too")
    return parser.parse_args(arguments)


async def _tell(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S', time.gmtime())}  {text}", flush=True)


async def main(arguments: list[str] | None = None) -> int:
    """The command line; its exit status."""
    options = _arguments(arguments)
    try:
        deployment = document.load(options.document)
        if options.command == "plan":
            return await _plan(deployment, options)
        if options.command == "status":
            return await _status(deployment, options.all)
        return await _move(deployment, options)
    except FAILURES as error:
        print(f"app.reshard: {error}", file=sys.stderr)
        return 1


async def _plan(deployment: Deployment, options: argparse.Namespace) -> int:
    free = None if options.target_free_gib is None else int(options.target_free_gib * 2**30)
    async with sides(deployment, options.source, options.target) as (source, target):
        rows, size = await preflight.size_of(source.connection, options.slots)
        problems = await preflight.check(deployment, source, target, options.slots, free)
    print(
        f"slots {describe(options.slots)} ({len(options.slots)}) from shard {options.source} to shard "
        f"{options.target}: {rows} rows, {size / 2**20:.1f} MiB"
    )
    for problem in problems:
        print(f"  in the way: {problem}")
    return 1 if problems else 0


async def _status(deployment: Deployment, everything: bool) -> int:
    for shard in deployment.sharding.shards:
        connection = await connect(deployment, shard, application_name="hal9-reshard")
        try:
            for record in await journal.find(connection, unfinished=not everything):
                _show(record)
        finally:
            await connection.close()
    return 0


def _show(record: Record) -> None:
    print(
        f"move {record.id}: slots {describe(record.slots)}, shard {record.source} to shard {record.target}, "
        f"epoch {record.epoch}: {record.step}"
    )
    for name, value in record.facts.items():
        print(f"  {name}: {msgspec.json.encode(value).decode()}")
    if record.step is Step.FINISHED:
        print(f"  receipt: {receipt(record)}")


async def _move(deployment: Deployment, options: argparse.Namespace) -> int:
    waiting = await unfinished(deployment)
    async with contextlib.AsyncExitStack() as stack:
        if waiting:
            record = waiting[0]
            asked = getattr(options, "slots", None)
            if asked is not None and (asked, options.source, options.target) != (
                record.slots,
                record.source,
                record.target,
            ):
                raise MoveError(f"move {record.id} ({record.step}) comes first: run, abort, reverse or finish it")
            source, target = await stack.enter_async_context(sides(deployment, record.source, record.target))
            # Read again under the lock: its mover may have gone on until now.
            (record,) = await journal.find(source.connection, record.id)
            mover = Mover(deployment, source, target, record, _tell)
        elif options.command == "run" and None not in (options.source, options.target, options.slots):
            free = None if options.target_free_gib is None else int(options.target_free_gib * 2**30)
            source, target = await stack.enter_async_context(sides(deployment, options.source, options.target))
            mover = await begin(deployment, source, target, options.slots, free, _tell)
        else:
            raise MoveError("no move is under way; a new one needs --from, --to and --slots")
        if options.command == "run":
            await mover.run()
            if options.finish:
                await mover.finish()
        else:
            accept = bool(getattr(options, "accept", False))
            actions: dict[str, Callable[[], Awaitable[Record]]] = {
                "abort": mover.abort,
                "reverse": mover.reverse,
                "repair": mover.repair,
                "finish": functools.partial(mover.finish, accept),
            }
            await actions[options.command]()
        _show(mover.record)
        if mover.record.step is Step.FINISHED:
            print(edit(mover.record, {side.shard.id: await owned_by(side.connection) for side in (source, target)}))
    return 0


if __name__ == "__main__":
    console.run(lambda: asyncio.run(main()))
