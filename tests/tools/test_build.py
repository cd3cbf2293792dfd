from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from plan.program import REPOSITORY
from tools import build


@pytest.fixture
def without_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with an empty cache and no Go."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return dict(os.environ)


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.build", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_every_tool_pins_what_it_is_built_from() -> None:
    assert all(tool.version.startswith("v") for tool in build.tools().values())


def test_a_lane_without_go_is_skipped_by_name(without_go: dict[str, str]) -> None:
    done = _run(without_go, "--lane", "engine", "pulumi")
    assert (done.returncode, done.stdout) == (0, "go is not installed: the engine lane is skipped\n")


def test_in_ci_too_a_lane_without_go_is_named(without_go: dict[str, str]) -> None:
    assert "the engine lane is skipped" in _run(without_go | {"CI": "true"}, "--lane", "engine", "pulumi").stdout


def test_a_lane_that_cannot_run_here_is_one_line_by_name(without_go: dict[str, str]) -> None:
    done = _run(without_go, "--lane", "make test-rules", "--ask", "promtool")
    assert (done.returncode, done.stdout) == (
        0,
        "not run here: make test-rules, which needs promtool, and Go is not installed\n",
    )


def test_a_lane_that_can_run_here_is_not_a_word(without_go: dict[str, str]) -> None:
    build.tools()["promtool"].directory.mkdir(parents=True)
    assert _run(without_go, "--lane", "make test-rules", "--ask", "promtool").stdout == ""


def test_without_a_lane_a_tool_that_cannot_be_built_is_a_failure(without_go: dict[str, str]) -> None:
    assert _run(without_go, "pulumi").returncode == 1


@pytest.mark.usefixtures("without_go")
def test_a_cached_tool_needs_no_go() -> None:
    folder = build.tools()["pulumi"].directory
    folder.mkdir(parents=True)
    assert build.binary("pulumi") == folder / "pulumi"


def test_a_changed_pin_is_another_folder_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build.tools()["pulumi"].directory
    module = tmp_path / "pulumi-cli"
    module.mkdir()
    for file in (build.HERE / "pulumi-cli").iterdir():
        (module / file.name).write_text(file.read_text().replace("v3.259.0", "v3.260.0"))
    monkeypatch.setattr(build, "HERE", tmp_path)
    (tmp_path / "tools.toml").write_text((REPOSITORY / "tools" / "tools.toml").read_text())
    assert build.tools()["pulumi"].directory != before
    assert build.tools()["pulumi"].version == "v3.260.0"
