from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab import station
from lab.servers.process import User, work_directory
from lab.station import Claim, Running, Say, StationError


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine of its own, as far as labs are found on it; its path is short, as a Unix socket's must be."""
    with work_directory("hal9-st", User.current()) as directory:
        monkeypatch.setattr(tempfile, "tempdir", str(directory))
        yield directory


def announced(directory: Path) -> tuple[Claim, Running]:
    claim = Claim()
    lab = Running(os.getpid(), "prod", str(directory), "https://127.77.1.1:8443")
    claim.announce(lab)
    return claim, lab


def test_where_nothing_runs_nothing_is_found() -> None:
    assert station.running() is None


def test_a_second_start_finds_the_first_and_says_how_to_end_it(machine: Path) -> None:
    claim, _ = announced(machine)
    with pytest.raises(StationError, match=f"stack prod, process {os.getpid()}, https://.*make lab-down"):
        Claim()
    claim.release()


def test_a_second_start_while_the_first_still_starts_says_so() -> None:
    claim = Claim()
    with pytest.raises(StationError, match="starting already"):
        Claim()
    claim.release()


def test_after_its_end_nothing_is_left(machine: Path) -> None:
    claim, _ = announced(machine)
    claim.release()
    assert station.running() is None
    assert list(machine.iterdir()) == []


def test_a_record_whose_process_is_gone_is_no_lab() -> None:
    station.record().write_text('{"pid": 1, "stack": "prod", "directory": "/", "url": ""}')
    assert station.running() is None
    Claim().release()


def test_an_order_tells_its_progress_and_then_its_answer(machine: Path) -> None:
    def carry_out(what: Mapping[str, Any], say: Say) -> Any:
        say("half")
        return what["n"] * 2

    claim, lab = announced(machine)
    station.serve(lab.control, carry_out)
    progress = station.order(lab, n=21)
    assert next(progress) == "half"
    with pytest.raises(StopIteration) as end:
        next(progress)
    assert end.value.value == 42
    assert station.ask(lab, n=1) == 2
    claim.release()


def test_an_order_that_fails_says_why_and_the_lab_goes_on(machine: Path) -> None:
    def carry_out(what: Mapping[str, Any], _say: Say) -> Any:
        return 1 / what["n"]

    claim, lab = announced(machine)
    station.serve(lab.control, carry_out)
    with pytest.raises(StationError, match="ZeroDivisionError: division by zero"):
        station.ask(lab, n=0)
    assert station.ask(lab, n=1) == 1
    claim.release()


def test_a_lab_that_does_not_answer_is_said_so(machine: Path) -> None:
    claim, lab = announced(machine)
    with pytest.raises(StationError, match="does not answer"):
        station.ask(lab, do="status")
    claim.release()
