"""Runs the real program as a fresh process would: its `__main__.py`, its stack's configuration, a preview."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import runpy
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import resource as runtime_resource
from pulumi.runtime import settings
from pulumi.runtime.proto import source_pb2
from pulumi.runtime.settings import _load_monitor_feature_support, _shutdown_callbacks
from pulumi.runtime.stack import Stack

from plan.guard import Failures, strict_outputs
from plan.loop import new_loop
from plan.masking import Masker
from plan.monitor import Engine, Monitor
from plan.outcome import Outcome, verdict_of
from plan.project import Project, read_project
from plan.record import Plan
from plan.recorder import recorded

REPOSITORY = Path(__file__).resolve().parents[1]

_one_at_a_time = threading.Lock()


def run(
    stack: str,
    *,
    project: Path = REPOSITORY,
    stack_file: Path | Mapping[str, Any] | None = None,
    on_resource: Callable[[int], None] = lambda _count: None,
) -> Plan:
    """The plan of a stack: what `pulumi up` would create where there is nothing yet.

    `stack_file` takes the place of the stack's own file: another file, or a map with `config` in it. Raises PlanError
    (ProjectError, ProgramFailed, Refused with all that would be refused); a program's own RunError passes as
    it is. May be called any number of times in a process, from any thread, in a running event loop or not; one plan
    is made at a time, in the project's directory as the working directory.
    """
    found = read_project(Path(project), stack, stack_file)
    box: list[Plan | BaseException] = []

    def work() -> None:
        try:
            box.append(_run(found, on_resource))
        except BaseException as error:  # noqa: BLE001 - handed to the caller below, whatever it is
            box.append(error)

    with _one_at_a_time:
        # A thread starts with an empty context, where all of Pulumi's state lives: each plan has its own.
        thread = threading.Thread(target=work, name="plan", daemon=True)
        thread.start()
        thread.join()
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]


def _run(project: Project, on_resource: Callable[[int], None]) -> Plan:
    started = time.perf_counter()
    masker = Masker()
    monitor, engine, failures = Monitor(project, masker, on_resource), Engine(masker), Failures(masker)
    printed = io.StringIO()
    error: Exception | None = None
    with _surroundings(project, printed), masker.watching(), failures.watching():
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.get_loop().set_exception_handler(lambda _loop, _context: None)  # the first error is raised below
                runner.run(_program(project, monitor, engine))
        except Exception as raised:  # noqa: BLE001 - told as the program's own, below
            error = raised
    verdict = verdict_of(Outcome(project, monitor, engine, masker, failures), error)
    if verdict is not None:
        raise verdict from None
    lines = [f"printed: {masker.mask(line)}" for line in printed.getvalue().splitlines() if line.strip()]
    return recorded(project, monitor, masker, tuple(engine.messages + lines), time.perf_counter() - started)


class ProgramLeft(Exception):
    """The program ended itself with a status that is not 0."""


async def _program(project: Project, monitor: Monitor, engine: Engine) -> None:
    bag = settings.Settings(
        project=project.name,
        stack=project.stack,
        monitor=monitor,
        engine=engine,
        parallel=1,
        dry_run=True,
        organization="organization",
        root_directory=str(project.directory),
    )
    settings.configure(bag)
    settings.set_root_resource(None)  # type: ignore[arg-type]
    pulumi.runtime.set_all_config(dict(project.config), list(project.secret_keys))

    await _load_monitor_feature_support()  # type: ignore[no-untyped-call]
    root = Stack()
    failed: Exception | None = None
    try:
        runpy.run_path(str(project.main), run_name="__main__")
        program = root._take_async_program()
        if program is not None:
            root._add_program_outputs(await program())
    except SystemExit as leaving:
        if leaving.code not in (None, 0):
            failed = ProgramLeft(f"sys.exit({leaving.code!r})")
    except Exception as error:  # noqa: BLE001 - raised below, when all is settled
        failed = error
    root._finish()
    try:
        await _settled()
    except Exception as error:  # noqa: BLE001 - told with the others
        failed = failed or error  # what fails behind the first failure fails because of it
    await _shutdown_callbacks()  # type: ignore[no-untyped-call]
    if failed is not None:
        raise failed


async def _settled() -> None:
    """Waits until every registration is answered and every Output has its value; raises the first that failed.

    The SDK's own `wait_for_rpcs` waits for whichever Output is first, over and over, which takes time that grows
    with the square of their number; here each is waited for once.
    """
    calls = settings._get_rpc_manager()
    while True:
        while calls.rpcs:
            await calls.rpcs.pop()
        if calls.unhandled_exception is not None:
            raise calls.unhandled_exception.with_traceback(calls.exception_traceback)
        pending = list(settings.SETTINGS.outputs)
        settings.SETTINGS.outputs.clear()
        for output in pending:
            await output
        if not calls.rpcs and not settings.SETTINGS.outputs:
            return


@contextlib.contextmanager
def _surroundings(project: Project, printed: io.StringIO) -> Iterator[None]:
    """The working directory, import path, arguments and streams of a process that Pulumi starts; put back afterwards.

    The garbage collector rests meanwhile: nearly all that a run makes lives until its end, and looking through it again
    and again took 40% of the time.
    """
    directory, arguments, path, collecting = Path.cwd(), sys.argv, list(sys.path), gc.isenabled()
    traced = runtime_resource._get_stack_trace
    gc.disable()
    runtime_resource._get_stack_trace = source_pb2.StackTrace  # for the engine's messages, which this one has not
    os.chdir(project.directory)
    sys.argv = [str(project.main)]
    sys.path.insert(0, str(project.main.parent))
    try:
        streams = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
        with streams[0], streams[1], strict_outputs(project.directory), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SDK sends its deprecations to the engine's log as well
            yield
    finally:
        os.chdir(directory)
        sys.argv = arguments
        sys.path[:] = path
        runtime_resource._get_stack_trace = traced
        if collecting:
            gc.enable()
