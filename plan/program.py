"""Runs the real program as a fresh process would: its `__main__.py`, its stack's configuration, a preview."""

from __future__ import annotations

import asyncio
import contextlib
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
from pulumi.runtime import settings
from pulumi.runtime.stack import run_in_stack

from plan.guard import Failures, strict_outputs
from plan.loop import new_loop
from plan.masking import Vault
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
    (ProjectError, ProgramFailed, Refused with all that would be refused); a program's own StackFileError passes as
    it is. May be called any number of times in a process, from any thread, in a running event loop or not; one plan
    is made at a time, in the project's directory as the working directory.
    """
    found = read_project(Path(project), stack, stack_file)
    box: list[Plan | BaseException] = []

    def work() -> None:
        try:
            box.append(_run(found, on_resource))
        except BaseException as error:  # handed to the caller below, whatever it is
            box.append(error)

    with _one_at_a_time:
        # A thread starts with an empty context, where all of Pulumi's state lives: each plan has its own.
        thread = threading.Thread(target=work, name="plan")
        thread.start()
        thread.join()
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]


def _run(project: Project, on_resource: Callable[[int], None]) -> Plan:
    started = time.perf_counter()
    vault = Vault()
    monitor, engine, failures = Monitor(project, vault, on_resource), Engine(vault), Failures(vault)
    printed = io.StringIO()
    error: Exception | None = None
    with _surroundings(project), vault.watching(), failures.watching(), contextlib.redirect_stdout(printed):
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.get_loop().set_exception_handler(lambda _loop, _context: None)  # the first error is raised below
                runner.run(_program(project, monitor, engine))
        except Exception as raised:
            error = raised
    verdict = verdict_of(Outcome(project, monitor, engine, vault, failures), error)
    if verdict is not None:
        raise verdict from None
    lines = [f"printed: {vault.mask(line)}" for line in printed.getvalue().splitlines() if line.strip()]
    return recorded(project, monitor, vault, tuple(engine.messages + lines), time.perf_counter() - started)


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

    def main() -> None:
        runpy.run_path(str(project.main), run_name="__main__")

    await run_in_stack(main)


@contextlib.contextmanager
def _surroundings(project: Project) -> Iterator[None]:
    """The working directory, import path and arguments of a process that Pulumi starts; put back afterwards."""
    directory, arguments, path = Path.cwd(), sys.argv, list(sys.path)
    os.chdir(project.directory)
    sys.argv = [str(project.main)]
    sys.path.insert(0, str(project.main.parent))
    try:
        with strict_outputs(project.directory), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the SDK sends its deprecations to the engine's log as well
            yield
    finally:
        os.chdir(directory)
        sys.argv = arguments
        sys.path[:] = path
