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
import traceback
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import settings
from pulumi.runtime.stack import run_in_stack

from plan.errors import PlanError, ProgramFailed, Refusal, Refused
from plan.guard import Failures, strict_outputs
from plan.loop import Deadlock, new_loop
from plan.masking import Vault
from plan.monitor import STACK, Engine, Monitor, Registration, kept_outputs
from plan.project import Project, read_project
from plan.record import Plan, Resource
from plan.regions import regions_of
from plan.values import kept

REPOSITORY = Path(__file__).resolve().parents[1]

WAITING = "waits for itself: a resource depends on its own parent, or resources depend on each other in a circle"

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
    monitor, engine = Monitor(project, vault, on_resource), Engine(vault)
    printed = io.StringIO()
    failures = Failures(vault)
    error: BaseException | None = None
    with (
        _surroundings(project),
        vault.watching(),
        failures.watching(),
        contextlib.redirect_stdout(printed),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            with asyncio.Runner(loop_factory=new_loop) as runner:
                runner.get_loop().set_exception_handler(lambda _loop, _context: None)  # the first error is raised below
                runner.run(_program(project, monitor, engine))
        except Exception as raised:
            error = raised
    _raise_what_went_wrong(project, monitor, engine, vault, failures, error)
    lines = [f"printed: {vault.mask(line)}" for line in printed.getvalue().splitlines() if line.strip()]
    return _plan(project, monitor, tuple(engine.messages + lines), time.perf_counter() - started)


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
        with strict_outputs(project.directory):
            yield
    finally:
        os.chdir(directory)
        sys.argv = arguments
        sys.path[:] = path


def _raise_what_went_wrong(
    project: Project, monitor: Monitor, engine: Engine, vault: Vault, failures: Failures, error: BaseException | None
) -> None:
    if type(error).__name__ == "StackFileError" and error is not None:
        raise error.with_traceback(None) from None
    refusals = list(monitor.refusals)
    refusals += [Refusal("the program", "log", "", text) for text in engine.errors]
    if isinstance(error, Deadlock):
        refusals.append(Refusal("the program", "program", "", WAITING))
        error = None
    refused = Refused(project.stack, refusals) if refusals else None
    if error is None:
        if refused:
            raise refused
        return
    text = vault.mask(_told(project, error, failures.traceback_of(error)))
    if monitor.invokes:
        asked = ", ".join(sorted({invoke.token for invoke in monitor.invokes}))
        text += f"\nBefore that it asked the cloud for {asked}: a plan has no cloud, the answer is unknown."
    raise ProgramFailed(f"{text}\n{vault.mask(str(refused))}" if refused else text) from None


def _told(project: Project, error: BaseException, frames: types.TracebackType | None) -> str:
    """The exception with the program's own frames."""
    if isinstance(error, PlanError):
        return str(error)
    lines = ["The program failed; nothing was planned."]
    if isinstance(error, SyntaxError):
        lines.append(f"  {_shown(project, error.filename or '')}:{error.lineno}")
    for frame in traceback.extract_tb(frames):
        if _is_program(project, frame.filename):
            lines += [f"  {_shown(project, frame.filename)}:{frame.lineno} in {frame.name}", f"      {frame.line}"]
    message = str(error) or "no message"
    return "\n".join([*lines, f"{type(error).__name__}: {message}"])


def _is_program(project: Project, filename: str) -> bool:
    path = Path(filename)
    if not path.is_relative_to(project.directory):
        return False
    inside = path.relative_to(project.directory).parts
    return not inside[0].startswith(".venv") and not path.is_relative_to(REPOSITORY / "plan")


def _shown(project: Project, filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(project.directory)) if path.is_relative_to(project.directory) else path.name


def _plan(project: Project, monitor: Monitor, messages: tuple[str, ...], seconds: float) -> Plan:
    stack = next((r for r in monitor.registrations.values() if r.request.type == STACK), None)
    regions = regions_of(monitor.registrations)
    resources = [
        _resource(registration, regions.get(urn, ""))
        for urn, registration in monitor.registrations.items()
        if registration.request.type != STACK
    ]
    return Plan(
        project=project.name,
        stack=project.stack,
        resources=tuple(sorted(resources, key=lambda resource: resource.urn)),
        outputs=kept_outputs(stack) if stack else {},
        invokes=tuple(monitor.invokes),
        messages=messages,
        seconds=seconds,
    )


def _resource(registration: Registration, region: str) -> Resource:
    request = registration.request
    if request.DESCRIPTOR.name == "ReadResourceRequest":
        return Resource(
            urn=registration.urn,
            type=request.type,
            name=request.name,
            parent=request.parent,
            custom=True,
            provider=request.provider.rpartition("::")[0],
            region=region,
            inputs=_kept(registration.inputs),
            dependencies=tuple(sorted(request.dependencies)),
            import_id=request.id,
        )
    timeouts = request.customTimeouts
    return Resource(
        urn=registration.urn,
        type=request.type,
        name=request.name,
        parent=request.parent,
        custom=request.custom,
        provider=request.provider.rpartition("::")[0],
        region=region,
        inputs=_kept(registration.inputs),
        outputs=kept_outputs(registration),
        dependencies=tuple(sorted(request.dependencies)),
        property_dependencies={
            name: tuple(sorted(found.urns))
            for name, found in sorted(request.propertyDependencies.items())
            if found.urns
        },
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        delete_before_replace=request.deleteBeforeReplace,
        deleted_with=request.deletedWith,
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        aliases=tuple(alias.urn or alias.spec.name for alias in request.aliases),
        import_id=request.importId,
        custom_timeouts={
            step: value for step in ("create", "update", "delete") if (value := getattr(timeouts, step, ""))
        },
    )


def _kept(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: kept(value) for name, value in inputs.items()}
