"""The commands that report, typed where little can be taken for granted.

A folder with a space, a locale of ASCII, a home that cannot be written, a narrow terminal, an `out` in which nothing
can be made, and a standard output that is closed, full, or read by nobody any more: no traceback and no broken line.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from plan.program import REPOSITORY

REPORTS = {
    "plan": ["preview", "--stack", "dev"],
    "policies.cli": ["--stack", "dev"],
    "cost": ["--stack", "dev"],
    "preflight": ["--stack", "dev"],
    "lab": ["fault"],
    "tools.lanes": ["--list"],
}
TABLES = ("cost", "preflight")
"""What has a column for each region: it needs eighty of the terminal's."""
WHOLE = re.compile(r"\S+|[\w.]+: \S+|(.* )?(aws|make) [a-z].*")
"""What is never folded: a word, a setting's name with its value, a command to be typed."""
WRITERS = {
    "plan": ["preview", "--stack", "dev", "--json", "out/plan.json"],
    "policies.cli": ["--stack", "dev", "--junit", "out/policy.xml"],
    "cost": ["--stack", "dev", "--markdown", "out/cost.md"],
    "tools.lanes": ["lint"],
}
Type = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Type]:
    """Types a command in such a place: its `status`, `out` and `error`."""
    folder = tmp_path_factory.mktemp("a folder with") / "some spaces"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
    (folder / "out").write_text("in which no folder can be made, by root either")
    bare = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "HOME": "/proc/nowhere"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.typed", *REPORTS],
        cwd=folder,
        env=bare | {"PATH": os.environ["PATH"], "TERM": "xterm"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        inward, outward = process.stdin, process.stdout

        def type_it(module: str, arguments: list[str], columns: int = 80, stdout: str = "file") -> dict[str, Any]:
            asked = {"module": module, "arguments": arguments, "columns": columns, "stdout": stdout}
            inward.write(json.dumps(asked) + "\n")
            inward.flush()
            return dict(json.loads(outward.readline()))

        yield type_it
        inward.close()


@pytest.mark.parametrize(
    ("module", "columns"),
    [*((module, 80) for module in REPORTS), *((module, 40) for module in REPORTS if module not in TABLES)],
)
def test_a_report_is_plain_and_fits_the_terminal(module: str, columns: int, typed: Type) -> None:
    told = typed(module, REPORTS[module], columns)
    assert (told["status"], told["error"]) == (0, "")
    assert told["out"].isascii()
    assert "\033" not in told["out"]
    wide = [line.strip() for line in told["out"].splitlines() if len(line) > columns]
    assert [line for line in wide if not WHOLE.fullmatch(line)] == []


@pytest.mark.parametrize("module", REPORTS)
@pytest.mark.parametrize(
    ("stdout", "status", "error"),
    [("closed", 0, ""), ("gone", 0, ""), ("full", 1, "standard output: No space left on device\n")],
)
def test_an_output_that_takes_nothing_is_no_traceback(
    module: str, stdout: str, status: int, error: str, typed: Type
) -> None:
    told = typed(module, REPORTS[module], stdout=stdout)
    assert (told["status"], told["error"]) == (status, error)


@pytest.mark.parametrize("module", WRITERS)
def test_an_out_that_cannot_be_written_is_one_line_with_its_name(module: str, typed: Type) -> None:
    told = typed(module, WRITERS[module])
    assert told["status"] == 1
    (line,) = told["error"].splitlines()
    assert "out" in line.partition(": ")[0]
    assert line.endswith(("File exists", "Not a directory"))


@pytest.mark.parametrize("where", ["-", "/dev/stdout"])
def test_json_that_is_asked_for_at_standard_output_is_all_that_stands_there(where: str, typed: Type) -> None:
    told = typed("plan", ["preview", "--stack", "dev", "--json", where, "--quiet"])
    assert (told["status"], told["error"]) == (0, "")
    assert json.loads(told["out"])["stack"] == "dev"
