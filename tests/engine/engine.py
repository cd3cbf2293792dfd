"""The real Pulumi CLI on a copy of a project, with a `file://` backend and the stand-in providers.

    engine = Engine(copy_of_repository(directory), "dev", providers)
    engine.init()
    done = engine.run("up", "--yes", "--skip-preview")
    done.changes        # {"create": 132}: what the engine counted, by kind
    done.operations     # what reached the providers

Nothing is written outside the directory.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation

from plan.program import REPOSITORY
from plan.reader import read_yaml
from tests.engine.standins.cloud import Cloud, Operation
from tests.engine.standins.server import Providers
from tools import build

PASSPHRASE = "correct horse battery staple"
SECONDS = 300.0
"""How long one command may take before it counts as hung."""

_LAST_STATE_ONLY = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
_NOT_COPIED = (".*", "out", "tests", "docs", "__pycache__")


def copy_of_repository(directory: Path) -> Path:
    """A copy of this project in `directory`: Pulumi writes into it, and no edit meanwhile changes the program."""
    project = directory / "project"
    shutil.copytree(REPOSITORY, project, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    return project


def project_of(directory: Path, program: str, stack: str = "dev") -> Path:
    """A project of its own with one program, given as text, and an empty stack file."""
    project = directory / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text("name: hal9\nruntime: python\n")
    (project / f"Pulumi.{stack}.yaml").write_text("config: {}\n")
    (project / "__main__.py").write_text(program)
    return project


@dataclass(frozen=True)
class Done:
    """One finished command: how it ended, what it said, what the engine counted, what reached the providers."""

    arguments: Sequence[str]
    status: int
    output: str
    seconds: float
    events: Sequence[Mapping[str, Any]]
    operations: Sequence[Operation]

    @property
    def changes(self) -> dict[str, int]:
        """Steps by kind (create, same, update, ...), of all resources, components and providers included."""
        counted = [event["summaryEvent"]["resourceChanges"] for event in self.events if "summaryEvent" in event]
        return dict(counted[-1]) if counted else {}

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Kind and URN of each step that the engine took or planned, without those that change nothing."""
        metadata = [
            event["resourcePreEvent"]["metadata"] for event in self.events if event.get("resourcePreEvent") is not None
        ]
        return [(step["op"], step["urn"]) for step in metadata if step["op"] not in {"same", "read"}]

    @property
    def problems(self) -> str:
        """The engine's errors, else all that was said."""
        diagnostics = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return "".join(d["message"] for d in diagnostics if d["severity"].startswith("error")) or self.output

    def __str__(self) -> str:
        kinds = Counter(operation.kind for operation in self.operations if not operation.error)
        engine = ", ".join(f"{kind} {count}" for kind, count in sorted(self.changes.items())) or "nothing"
        providers = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())) or "no operation"
        return f"engine: {engine:<38} providers: {providers:<24} {self.seconds:5.1f} s"


@dataclass(frozen=True)
class Running:
    """A `pulumi` command that has been started."""

    arguments: Sequence[str]
    process: subprocess.Popen[bytes]
    log: Path
    output: Path
    begin: float
    cloud: Cloud
    mark: int

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def end(self, kill: bool = False) -> Done:
        """Waits for the end; with `kill` kills the CLI first, and it alone, as its machine's death would."""
        if kill:
            self.process.kill()
        status = self.process.wait(SECONDS)
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return Done(
            self.arguments,
            status,
            self.output.read_text(),
            time.monotonic() - self.begin,
            [event for event in map(_event, lines) if event is not None],
            self.cloud.since(self.mark),
        )


@dataclass
class Engine:
    """One stack of one project. Commands run one after the other; see the module for use."""

    project: Path
    stack: str
    providers: Providers
    language_host: bool = True
    extra_path: Sequence[Path] = ()
    _logs: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))

    @property
    def environment(self) -> dict[str, str]:
        """What the CLI runs with. PATH has the stand-ins, the built tools, this Python's environment, the system's own.

        Without `language_host` the Python host is left out: an inline program needs none, and beside it a policy
        pack would be started through it instead of through `pulumi-analyzer-policy-python`.
        """
        names = ["pulumi", "pulumi-language-python" if self.language_host else "pulumi-analyzer-policy-python"]
        folders = [self.providers.plugins, *self.extra_path, *map(build.directory, names), Path(sys.executable).parent]
        home = self.project.parent / "home"
        return {
            "PATH": os.pathsep.join([*map(str, folders), os.defpath]),
            "HOME": str(home),
            "PULUMI_HOME": str(home / ".pulumi"),
            "PULUMI_BACKEND_URL": f"file://{self.project.parent / 'backend'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DEBUG_COMMANDS": "1",
            "VIRTUAL_ENV": sys.prefix,
            "NO_COLOR": "1",
            "LANG": "C.UTF-8",
        }

    def init(self) -> None:
        """Makes the backend and the stack."""
        for folder in ("backend", "home"):
            (self.project.parent / folder).mkdir(exist_ok=True)
        self.run("stack", "init", self.stack, events=False)

    def inline(self, program: Callable[[], None]) -> automation.Stack:
        """The stack with a program given as a function, for `preview`, `up` and `destroy` without a language host."""
        command = automation.PulumiCommand(str(build.binary("pulumi").parent.parent))
        options = automation.LocalWorkspaceOptions(
            work_dir=str(self.project), env_vars=self.environment, pulumi_command=command
        )
        return automation.select_stack(self.stack, project_name="hal9", program=program, opts=options)

    def run(self, *arguments: str, check: bool = True, events: bool = True, checkpoints: bool = False) -> Done:
        """One `pulumi` command to its end. Raises where it fails, unless not `check`.

        `events` for commands that take steps. `checkpoints` saves the state with every step, as an operator's CLI
        does; without them only at the end, which takes a third of the time.
        """
        with self.started(*arguments, events=events, checkpoints=checkpoints) as running:
            done = running.end()
        if check and done.status:
            raise AssertionError(f"pulumi {' '.join(arguments)} failed:\n{done.problems[-6000:]}")
        return done

    @contextmanager
    def started(self, *arguments: str, events: bool = True, checkpoints: bool = True) -> Iterator[Running]:
        """A running `pulumi` command, for a test that breaks into it. On leaving nothing is left running."""
        log = self.project.parent / f"events-{next(self._logs)}.json"
        output = log.with_suffix(".txt")
        command = [str(build.binary("pulumi")), *arguments, "--non-interactive", "--color", "never"]
        command += ["--event-log", str(log)] if events else []
        mark, begin = self.providers.cloud.mark(), time.monotonic()
        with output.open("wb") as sink:
            process = subprocess.Popen(
                command,
                cwd=self.project,
                env=self.environment | ({} if checkpoints else _LAST_STATE_ONLY),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        try:
            yield Running(arguments, process, log, output, begin, self.providers.cloud, mark)
        finally:
            # The program and its host outlive a killed CLI for a moment.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def export(self) -> dict[str, Any]:
        """The stack as `pulumi stack export` gives it, secrets still closed."""
        exported: dict[str, Any] = json.loads(self.run("stack", "export", events=False).output)
        return exported

    def state(self) -> list[dict[str, Any]]:
        """The resources of the stack's state."""
        return list(self.export()["deployment"].get("resources") or [])

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Changes the copy's stack file in place."""
        path = self.project / f"Pulumi.{self.stack}.yaml"
        data = read_yaml(path)
        change(data)
        path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def _event(line: str) -> dict[str, Any] | None:
    """One line of the log; a killed engine may leave half of one."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return None
