"""What went wrong in a run, told so that the operator or the author knows what to change."""

from __future__ import annotations

import re
import traceback
import types
from dataclasses import dataclass
from pathlib import Path

from pulumi import RunError

from plan import schema
from plan.errors import ProgramFailed, Refusal, Refused
from plan.guard import Failures
from plan.loop import Deadlock
from plan.masking import Masker
from plan.monitor import Engine, Monitor
from plan.project import Project

WAITING = "waits for itself: a resource depends on its own parent, or resources depend on each other in a circle"


@dataclass(frozen=True)
class Outcome:
    """All that a finished run has left behind."""

    project: Project
    monitor: Monitor
    engine: Engine
    masker: Masker
    failures: Failures


def verdict_of(outcome: Outcome, error: Exception | None) -> Exception | None:
    """The error to raise: a RunError as it is, Refused, ProgramFailed (with what was refused before); or None.

    A RunError is what a program says to its operator: its text is the whole message, for Pulumi's CLI too.
    """
    if isinstance(error, RunError):
        return error.with_traceback(None)
    refusals = list(outcome.monitor.refusals)
    refusals += [Refusal("the program", "log", "", text) for text in outcome.engine.errors]
    if isinstance(error, Deadlock):
        refusals.append(Refusal("the program", "program", "", WAITING))
        error = None
    elif error is not None and (refusal := _of_the_sdk(error)):
        refusals.append(refusal)
        error = None
    refused = Refused(outcome.project.stack, refusals) if refusals else None
    if error is None:
        return refused
    lines = [_told(outcome.project, error, outcome.failures.traceback_of(error))]
    if outcome.monitor.invokes:
        asked = ", ".join(sorted({invoke.token for invoke in outcome.monitor.invokes}))
        lines.append(f"Before that it asked the cloud for {asked}: a plan has no cloud, the answer is unknown.")
    if refused:
        lines.append(str(refused))
    return ProgramFailed(outcome.masker.mask("\n".join(lines)))


_SDK = re.compile(
    r"While processing resource: '(?P<name>.*)', type:? '(?P<type>.*)'\n.*While processing input: '(?P<input>\w+)'",
)


def _of_the_sdk(error: Exception) -> Refusal | None:
    """An input of a kind so wrong that the SDK itself does not take it, as a refusal like the others."""
    found = _SDK.match(str(error))
    if not found:
        return None
    try:
        wanted = schema.expected(found["type"], found["input"])
    except LookupError:
        return None
    return Refusal(found["name"], found["type"], found["input"], f"expected {wanted}, got a value of another kind")


def _told(project: Project, error: Exception, frames: types.TracebackType | None) -> str:
    """An exception with the program's own frames."""
    lines = ["The program failed; nothing was planned."]
    if isinstance(error, SyntaxError):
        lines.append(f"  {_shown(project, error.filename or '')}:{error.lineno}")
    for frame in traceback.extract_tb(frames):
        if _is_program(project, frame.filename):
            lines += [f"  {_shown(project, frame.filename)}:{frame.lineno} in {frame.name}", f"      {frame.line}"]
    return "\n".join([*lines, f"{type(error).__name__}: {error}"])


def _is_program(project: Project, filename: str) -> bool:
    """Whether a file is the program's: in the project, and neither installed there nor the plan's own."""
    path = Path(filename)
    if not path.is_relative_to(project.directory) or path.is_relative_to(Path(__file__).parent):
        return False
    return not path.relative_to(project.directory).parts[0].startswith(".venv")


def _shown(project: Project, filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(project.directory)) if path.is_relative_to(project.directory) else path.name
