"""What a change is told from: a git revision, a stack file, a plan's JSON, or the record of what is deployed.

A base is a topology and a plan. A git revision is planned by its own program, in a process of its own, so that a change
of the program is told as well as one of the stack file; it is asked while this process plans what is wanted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plan.errors import ProjectError
from plan.program import REPOSITORY
from plan.project import read_project
from plan.record import Plan, Resource
from plan.values import Secret, Unknown, UnknownSecret
from topology.load import parse
from topology.record import OUTPUT, RecordError, record, recorded
from topology.stackfile import NAMESPACE, StackFileError, structure
from topology.topology import Topology

_PROGRAM = ("__main__.py", "Pulumi.yaml", "app", "components", "plan", "topology")
"""What of the repository makes a plan, beside the stack file."""
_MARKERS = {str(marker()): marker() for marker in (Unknown, Secret, UnknownSecret)}


class BaseError(Exception):
    """There is nothing to tell a change from. The text is one sentence."""


@dataclass(frozen=True)
class Base:
    """A named base: its topology, and its plan as a process is making it."""

    name: str
    topology: Topology
    process: subprocess.Popen[str]
    folder: Path

    def plan(self) -> Plan:
        """The finished plan. BaseError where the base's own program made none."""
        _, told = self.process.communicate()
        path = self.folder / "plan.json"
        if self.process.returncode or not path.is_file():
            lines = [line.strip() for line in told.splitlines() if line.strip()]
            raise BaseError(f"{self.name} cannot be planned: {' '.join(lines[:2]) or 'its program said nothing'}")
        return plan_of(json.loads(path.read_text()))


@contextlib.contextmanager
def base_of(text: str, stack: str) -> Iterator[Base]:
    """The base that `text` names, being planned: a file's path, else a git revision. BaseError where it is neither."""
    with tempfile.TemporaryDirectory(prefix="hal9-diff-") as name:
        folder = Path(name)
        program, stack_file, topology = _found(text, stack, folder)
        command = [sys.executable, "-m", "plan", "preview", "--quiet", "--stack", stack]
        command += ["--config", str(stack_file), "--json", str(folder / "plan.json")]
        process = subprocess.Popen(command, cwd=program, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            yield Base(text, topology, process, folder)
        finally:
            process.kill()
            process.wait()


def standing_of(text: str, stack: str) -> Topology:
    """The topology of the base that `text` names, without a plan. BaseError where it names none."""
    with tempfile.TemporaryDirectory(prefix="hal9-base-") as name:
        return _found(text, stack, Path(name))[-1]


def _found(text: str, stack: str, folder: Path) -> tuple[Path, Path, Topology]:
    """The program, stack file and topology of a base: what a git revision lacks as files is put into `folder`."""
    path = Path(text)
    return (REPOSITORY, *_of_file(path, stack, folder)) if path.is_file() else _of_revision(text, stack, folder)


def topology_of(stack: str, path: Path | None = None, *, judged: bool = True) -> Topology:
    """The topology of a stack's own file, or of another one. ProjectError or StackFileError as they are."""
    return parse(stack, structure(Topology, read_project(REPOSITORY, stack, path).config), judged=judged)


def _of_file(path: Path, stack: str, folder: Path) -> tuple[Path, Topology]:
    """A stack file, or a record: `pulumi stack output --json`, or its `topology` alone."""
    if path.suffix == ".json":
        try:
            content = json.loads(path.read_text())
        except (ValueError, OSError) as error:
            raise BaseError(f"{path} is no JSON: {error}") from None
        if isinstance(content, Mapping) and OUTPUT in content:
            content = content[OUTPUT]
        try:
            topology = recorded(content)
        except RecordError as error:
            raise BaseError(f"{path}: {error}") from None
        if topology.stack != stack:
            raise BaseError(f"{path} is the record of the stack {topology.stack}, and the change is of {stack}")
        return stack_file_of(topology, folder), topology
    try:
        return path.resolve(), topology_of(stack, path, judged=False)
    except ProjectError as error:
        raise BaseError(str(error)) from None
    except StackFileError as error:
        raise BaseError(f"{path} is no valid base: {_first(error)}") from None


def stack_file_of(topology: Topology, folder: Path) -> Path:
    """A stack file with a topology's settings."""
    path = folder / "recorded.json"  # JSON is YAML
    settings = {
        f"{NAMESPACE}:{name}": value for name, value in record(topology)["settings"].items() if value is not None
    }
    defaults = {"pulumi:disable-default-providers": ["aws", "kubernetes"]}
    path.write_text(json.dumps({"config": {**defaults, **settings}}))
    return path


def _of_revision(revision: str, stack: str, folder: Path) -> tuple[Path, Path, Topology]:
    """The program, stack file and topology of a git revision."""
    commit = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise BaseError(f"{revision!r} is neither a file nor a git revision of this repository")
    name = f"Pulumi.{stack}.yaml"
    text = _git("show", f"{commit.strip()}:{name}")
    if text is None:
        raise BaseError(f"{revision} has no {name}")
    program = folder / "program"
    if _git("diff", "--quiet", commit.strip(), "--", *_PROGRAM) is not None:
        program = REPOSITORY  # only the stack file differs, if anything
    else:
        archive = subprocess.run(
            ["git", "archive", commit.strip()], cwd=REPOSITORY, capture_output=True, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(program, filter="data")
    stack_file = folder / name
    stack_file.write_text(text, encoding="utf-8")
    try:
        return program, stack_file, topology_of(stack, stack_file, judged=False)
    except (ProjectError, StackFileError) as error:
        raise BaseError(f"{revision} is no valid base: {_first(error)}") from None


def _git(*arguments: str) -> str | None:
    """What git says; None where it says no."""
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BaseError("git is not installed, and a revision was asked for") from None
    return done.stdout if done.returncode == 0 else None


def _first(error: Exception) -> str:
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    return " ".join(lines[1:2]) or lines[0]


def plan_of(document: Mapping[str, Any]) -> Plan:
    """A plan from its JSON (`plan.export`)."""
    fields = {_camel(field.name): field.name for field in dataclasses.fields(Resource)}
    resources = []
    for entry in document["resources"]:
        values = {fields[name]: _marked(value) for name, value in entry.items() if name in fields}
        for name in ("dependencies", "ignore_changes", "replace_on_changes", "aliases", "additional_secret_outputs"):
            values[name] = tuple(values.get(name, ()))
        values["property_dependencies"] = {k: tuple(v) for k, v in values.get("property_dependencies", {}).items()}
        resources.append(Resource(**values))
    return Plan(document["project"], document["stack"], tuple(resources), _marked(document["outputs"]))


def _marked(value: Any) -> Any:
    if isinstance(value, str):
        return _MARKERS.get(value, value)
    if isinstance(value, dict):
        return {name: _marked(inner) for name, inner in value.items()}
    return [_marked(inner) for inner in value] if isinstance(value, list) else value


def _camel(name: str) -> str:
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)
