"""The exit status of the lab's commands."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from lab import command, station
from lab.load import report
from tests.lab.load.synthetic import even, run_of


@pytest.mark.parametrize(("requests", "status"), [(6000, 0), (5999, 1)])
@pytest.mark.parametrize("fault", ["", "link-cut"])
def test_the_exit_status_is_the_report_s_verdict(
    requests: int, status: int, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = report.make(run_of(even(requests)), {}, {})

    async def drive(*_: object) -> report.Report:
        return made

    monkeypatch.setattr(station, "running", lambda: station.Running(1, "prod", str(tmp_path), ""))
    monkeypatch.setattr(station, "ask", lambda *_, **__: {"regions": ["us-west"], "users": 1000})
    monkeypatch.setattr(command, "drive", drive)
    commands = argparse.ArgumentParser().add_subparsers()
    command.add_to(commands)
    options = commands.choices["fault" if fault else "load"].parse_args(
        [*([fault] if fault else []), "--out", str(tmp_path)]
    )
    assert options.run(options) == status
    assert (tmp_path / "report.json").exists()
