from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from bench.capacity import Cost, Meter, mixed, sheet
from lab.assembly import Program
from lab.load.mix import Mix
from lab.servers.process import Process, User
from tests.stackfiles import topology

EVEN = {"nginx": 100e-6, "app": 500e-6, "postgres": 0.0, "redis": 50e-6}


def costs(**more: dict[str, float]) -> dict[str, Cost]:
    routes = {name: Cost(EVEN) for name in ("session", "read", "me", "list", "write")}
    return {
        "echo": Cost({"nginx": 80e-6, "echo": 40e-6}),
        **routes,
        **{n: Cost({**EVEN, **c}) for n, c in more.items()},
    }


def test_the_mix_weighs_each_route_by_its_share() -> None:
    found = mixed(costs(write={"postgres": 1000e-6}), Mix())
    assert found.parts["app"] == pytest.approx(500e-6)
    assert found.parts["postgres"] == pytest.approx(150e-6)  # 15% of the requests are writes
    assert found.whole == pytest.approx(800e-6)


def test_the_sheet_shows_each_route_the_mix_and_the_yardstick() -> None:
    text = sheet(costs(), topology("prod"))
    assert "| read | 100 | 500 | 0 | 50 | 650 | 2000 | 1538 |" in text
    assert "| echo | 80 | 40 | 0 | 0 | 120 | 25000 | 8333 |" in text
    assert "| the mix | 100 | 500 | 0 | 50 | 650 | 2000 | 1538 |" in text
    assert "5.4 times a bare echo" in text


def test_a_meter_counts_a_process_s_time_and_its_children_s(tmp_path: Path) -> None:
    spin = "import time; end = time.process_time() + {}\nwhile time.process_time() < end: pass\n"
    (tmp_path / "child.py").write_text(spin.format(0.2) + "time.sleep(60)")
    (tmp_path / "parent.py").write_text(
        f"import subprocess, sys\nsubprocess.Popen([sys.executable, r'{tmp_path / 'child.py'}'])\n"
        + spin.format(0.2)
        + "time.sleep(60)"
    )
    process = Process([sys.executable, tmp_path / "parent.py"], tmp_path / "log", User.current())
    Program(process, lambda: True).start()
    try:
        meter, give_up = Meter({"spinners": [process.pid], "me": [os.getpid()]}), time.monotonic() + 20
        while meter.read()["spinners"] < 0.4 and time.monotonic() < give_up:
            time.sleep(0.05)
        assert 0.4 <= meter.read()["spinners"] < 2
    finally:
        process.kill()
