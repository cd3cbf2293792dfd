"""Every command that README, CONTRIBUTING and docs print: `make`
finds its targets, and Python's commands their arguments.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plan.program import REPOSITORY

IN_A_POD = re.compile(r"(?<!bin/)python -m app(\.\w+)?\b")
"""What runbooks have typed in a pod of the app, whose Python is the image's; everything else is the clone's .venv."""
PARSE_ONLY = """
import argparse, os
whole = argparse.ArgumentParser.parse_args
def parse_args(self, *given):
    whole(self, *given)
    os._exit(0)
argparse.ArgumentParser.parse_args = parse_args
"""


def documents() -> list[Path]:
    return [*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md"))]


def printed(text: str) -> Iterator[str]:
    """The commands of a document, one by one: lines of its code blocks, and what stands between backticks."""
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [line.partition(" #")[0] for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"(?<!`)`([^`]+)`(?!`)", re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE))
    for line in [*lines, *(" ".join(span.split()) for span in spans)]:
        yield from (part.strip() for part in re.split(r"&&|\|(?!\|)", line))


@functools.cache
def commands(program: str) -> list[tuple[str, str]]:
    """Commands of one program, each with the document that prints it."""
    wanted = re.compile(rf"(?:[A-Z_0-9]+=\S+ )*{program}(?:\s|$)")
    found: dict[str, str] = {}
    for path in documents():
        for one in filter(wanted.match, printed(path.read_text("utf-8"))):
            # One command in many documents is one test, but for what a document has to say itself.
            key = f"{path.name} {one}" if "$D" in one or program != "make" else one
            found.setdefault(key, str(path.relative_to(REPOSITORY)))
    return sorted((document, key.removeprefix(f"{Path(document).name} ")) for key, document in found.items())


def words(document: str, command: str) -> list[str]:
    """A command's words; `$D` is what the document says that it is."""
    if "$D" in command:
        given = re.search(r"`D=(\S+)`", (REPOSITORY / document).read_text("utf-8"))
        assert given, f"{document} says nowhere what $D is"
        command = command.replace("$D", given[1])
    return shlex.split(command.partition(">")[0])


def test_there_are_commands_to_look_at() -> None:
    assert len(commands("make")) > 30
    assert len(commands(r"(?:\.venv/bin/)?python3?")) > 5


@pytest.mark.parametrize(("document", "command"), commands("make"), ids=lambda text: text)
def test_make_has_the_target(document: str, command: str) -> None:
    given = [word.replace("...", "x") for word in words(document, command)]
    while "=" in given[0]:
        given.pop(0)
    done = subprocess.run(
        ["make", "--dry-run", *given[1:]], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("document", "command"), commands(r"(?:\.venv/bin/)?python3?"), ids=lambda text: text)
def test_python_has_the_command_and_the_command_its_arguments(document: str, command: str, tmp_path: Path) -> None:
    if not command.startswith(".venv/bin/python"):
        in_a_pod = IN_A_POD.match(command) and (
            document.startswith("docs/runbooks/") or len(words(document, command)) == 3
        )
        assert in_a_pod, "in a fresh clone it is .venv/bin/python that has the packages"
    (tmp_path / "sitecustomize.py").write_text(PARSE_ONLY)
    given = words(document, command)[1:]
    if len(given) == 2:
        given.append("--help")  # the command's name alone: it is spoken of, not typed
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    done = subprocess.run(
        [sys.executable, *given],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("document", "command"), commands(r"\.ci/run"), ids=lambda text: text)
def test_ci_has_the_lane(document: str, command: str) -> None:
    lanes = [word for word in words(document, command)[1:] if not word.startswith("[")]
    done = subprocess.run(
        [".ci/run", "--list", *lanes], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_readmes_session_is_the_one_that_run_app_prints() -> None:
    source = (REPOSITORY / "lab" / "alone.py").read_text("utf-8").replace("{base}", "http://localhost:9000")
    typed = [one for document, one in commands("curl") if document == "README.md"]
    assert len(typed) >= 4
    assert [one for one in typed if one not in source] == []
