"""The fresh clone of CI's first lane: what it runs, what it sees, and what it takes for a failure."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from plan.program import REPOSITORY
from tools import fresh


def test_it_runs_what_readme_begins_with() -> None:
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    assert fresh.first_commands(readme) == ["make preview STACK=prod", "make test"]


def test_it_sees_the_machine_s_programs_but_no_server_no_judge_and_no_go(tmp_path: Path) -> None:
    there, other = tmp_path / "there", tmp_path / "other"
    there.mkdir()
    other.mkdir()
    hidden = ["nginx", "redis-server", "valkey-server", "postgres", "pg_ctl", "promtool", "go", "pulumi", "uv"]
    for name in ["make", "git", "python3", *hidden]:
        (there / name).write_text("#!/bin/sh\necho there\n")
        (there / name).chmod(0o755)
    shutil.copy(there / "make", other / "make")
    path = fresh.hidden_path(tmp_path / "bin", f"{there}:{other}:{tmp_path / 'absent'}")
    assert sorted(file.name for file in Path(path).iterdir()) == ["git", "make", "python3"]
    assert (Path(path) / "make").resolve() == there / "make", "the first of two on a PATH is the one that runs"


def test_it_sees_nothing_that_is_set_for_the_project() -> None:
    given = {"HOME": "/h", "PATH": "/bin", "HAL9_SERVERS": "system", "PIP_INDEX_URL": "u", "GOPATH": "/g", "LANG": "C"}
    assert fresh.environment("/hidden", given) == {
        "HOME": "/h",
        "PATH": "/hidden",
        "PIP_INDEX_URL": "u",
        "LANG": "C",
    }


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo '3 passed in 1.0s'", ""),
        ("echo '3 passed, 0 skipped in 1.0s'", ""),
        ("echo '3 passed, 1 skipped in 1.0s'", "1 skipped"),
        ("echo '2 failed, 3 passed in 1.0s'", "2 failed"),
        ("exit 3", "ended with status 3"),
    ],
)
def test_a_skipped_test_fails_it_as_a_red_one_does(command: str, said: str, tmp_path: Path) -> None:
    if not said:
        assert "s of processors" in fresh.run(command, tmp_path, {"PATH": "/usr/bin:/bin"})
        return
    with pytest.raises(fresh.FreshError, match=said):
        fresh.run(command, tmp_path, {"PATH": "/usr/bin:/bin"})


def test_a_file_with_two_names_takes_its_place_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(bytes(500_000))
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert fresh.megabytes(tmp_path) == pytest.approx(0.5)


def test_a_clone_of_what_is_committed_has_all_that_the_first_commands_need() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    needed = {"Makefile", "README.md", "requirements.txt", "requirements-dev.txt", "requirements-uv.txt"}
    assert needed - set(listed.stdout.splitlines()) == set()
