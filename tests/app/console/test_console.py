from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from plan.program import REPOSITORY

PROGRAM = """
from app import console
console.prepare()
import sys, time
{before}
def main():
    {body}
    return 3
console.run(main)
"""


def start(body: str, before: str = "", stdout: int | IO[str] = subprocess.PIPE, **more: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MAKELEVEL"} | more
    program = [sys.executable, "-c", PROGRAM.format(body=body, before=before)]
    return subprocess.Popen(
        program, cwd=REPOSITORY, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def told(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate(timeout=30)
    return process.returncode, out, error


def test_a_command_s_status_is_main_s() -> None:
    assert told(start("print('done')")) == (3, "done\n", "")


@pytest.mark.parametrize(
    ("before", "body"),
    [
        ("print('here', flush=True); time.sleep(20)", "pass"),
        ("", "print('here', flush=True); time.sleep(20)"),
        ("", "import asyncio; print('here', flush=True); asyncio.run(asyncio.sleep(20))"),
    ],
)
@pytest.mark.parametrize("level", [{}, {"MAKELEVEL": "1"}])
def test_ctrl_c_is_one_line_and_status_130_and_below_make_the_line_is_make_s(
    before: str, body: str, level: dict[str, Any]
) -> None:
    process = start(body, before, **level)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert told(process) == (130, "", "" if level else "interrupted\n")


def test_ctrl_c_lets_what_is_open_be_closed(tmp_path: Path) -> None:
    body = f"""
    try:
        print('here', flush=True); time.sleep(20)
    finally:
        open({str(tmp_path / "closed")!r}, 'w').close()"""
    process = start(body)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert told(process)[0] == 130
    assert (tmp_path / "closed").exists()


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    process = start("for n in range(100_000): print('line', n)")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert (process.wait(30), process.stderr and process.stderr.read()) == (0, "")


@pytest.mark.parametrize("amount", [1, 100_000])
def test_a_full_standard_output_is_one_line(amount: int) -> None:
    with Path("/dev/full").open("w") as full:
        process = start(f"print('x' * {amount})", stdout=full)
        assert told(process)[::2] == (1, "standard output: No space left on device\n")


@pytest.mark.parametrize("closed", ["1", "2", "0"])
def test_a_closed_stream_takes_nothing_else_s_place(closed: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    program = PROGRAM.format(
        before="",
        body=f"file = open({str(file)!r}, 'w'); print('lost'); print('lost', file=sys.stderr); "
        "file.write('kept'); file.close()",
    )
    command = f'exec "$0" -c "$1" {closed}>&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, program], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, file.read_text()) == (3, "kept")
    assert "Traceback" not in done.stderr


def test_a_terminal_without_lines_gets_plain_ones() -> None:
    assert told(start("print('├─ Zelle └─ ü')", PYTHONIOENCODING="ascii"))[1] == "|- Zelle `- ?\n"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = start(f"open({str(tmp_path / 'file' / 'under')!r}, 'w')")
    assert told(process) == (1, "", f"{tmp_path}/file/under: Not a directory\n")


def test_a_program_s_own_mistake_keeps_its_traceback() -> None:
    assert "ZeroDivisionError" in told(start("1 / 0"))[2]


def test_preparing_imports_nothing_but_the_standard_library() -> None:
    program = "import sys; was = set(sys.modules); import app.console; print(*(set(sys.modules) - was))"
    told = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    own = {name for name in told.stdout.split() if name.split(".")[0] not in sys.stdlib_module_names}
    assert own == {"app", "app.console"}
