from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab.__main__ as command
from lab.faults import FAULTS
from lab.lab import Lab
from lab.servers import programs
from lab.servers.process import ProcessError, User, work_directory

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine of its own, as far as labs are found on it."""
    with work_directory("hal9-main", User.current()) as directory:
        monkeypatch.setattr(tempfile, "tempdir", str(directory))
        yield directory


def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    """Exit status and what a command wrote to its error stream."""
    monkeypatch.setattr(sys, "argv", ["lab", *arguments])
    return command.main(), capsys.readouterr().err.strip()


def test_an_absent_server_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Path:
        raise ProcessError("no nginx on this machine")

    monkeypatch.setattr(programs, "nginx", absent)
    assert said(capsys, monkeypatch, "up") == (1, "no nginx on this machine")


def test_too_little_memory_is_one_line_with_both_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_available_gib", lambda: 1.26)
    status, error = said(capsys, monkeypatch, "up")
    assert (status, error) == (1, f"1.3 GiB of memory are available; the lab needs {command.MEMORY_GIB:g}")


def test_an_unknown_stack_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    status, error = said(capsys, monkeypatch, "up", "--stack", "absent")
    assert (status, error.count("\n")) == (1, 0)
    assert "absent" in error


@pytest.mark.parametrize("order", [["load"], ["fault", "link-cut"], ["status"]])
def test_a_command_for_a_lab_that_does_not_run_says_how_to_start_one(
    order: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(capsys, monkeypatch, *order) == (1, "no lab runs; `make lab` starts one")


def test_ending_a_lab_that_does_not_run_is_no_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert said(capsys, monkeypatch, "down") == (0, "")


def test_a_server_that_does_not_start_is_one_line_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, machine: Path
) -> None:
    def fail(_lab: object, _report: object) -> None:
        raise ProcessError("python ended with 1 at its start: 127.77.1.102:5432 is taken (Address already in use)")

    monkeypatch.setattr(command, "_available_gib", lambda: None)
    monkeypatch.setattr(Lab, "start", fail)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    status, error = said(capsys, monkeypatch, "up")
    assert (status, error.count("\n")) == (1, 0)
    assert "127.77.1.102:5432 is taken" in error
    assert list(machine.iterdir()) == []


def test_the_faults_are_listed_a_line_each_that_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["lab", "fault"])
    monkeypatch.setenv("COLUMNS", "120")
    assert command.main() == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(FAULTS)
    assert all(20 < len(line) < 100 and "None" not in line for line in lines)


def test_an_unknown_fault_is_refused_with_the_list_of_those_there_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    status, error = said(capsys, monkeypatch, "fault", "flood")
    assert status == 2
    assert error.splitlines()[0] == "no fault is called flood; there are:"
    assert all(name in error for name in FAULTS)
