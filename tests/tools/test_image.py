"""`make image`: what it builds, where it pushes, and that the stack file changes in one place or not at all."""

from __future__ import annotations

import json
import shlex
import shutil
import stat
import sys
from pathlib import Path

import pytest

from tools import image

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("Pulumi.prod.yaml", "Pulumi.dev.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for docker and aws that write down their arguments; docker answers with a digest as buildx does."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "calls"
    program = f"""import json, os, sys
open({str(log)!r}, "a").write(" ".join(sys.argv[1:]) + "\\n")
if "--metadata-file" in sys.argv:
    if os.environ.get("PUSH_FAILS"):
        sys.exit(7)
    json.dump({{"containerimage.digest": "{DIGEST}"}}, open(sys.argv[sys.argv.index("--metadata-file") + 1], "w"))
"""
    (folder / "docker.py").write_text(program)
    # By a shell, as a `#!` holds no path with a space in it.
    docker = f'#!/bin/sh\nexec {shlex.join([sys.executable, str(folder / "docker.py")])} "$@"\n'
    aws = f'#!/bin/sh\necho "aws $*" >> {log}\necho the-password\n'
    for name, text in (("docker", docker), ("aws", aws)):
        path = folder / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return log


def run(project: Path, monkeypatch: pytest.MonkeyPatch, stack: str = "prod", *more: str) -> int:
    monkeypatch.setattr(image, "BILLS", project / "bills")
    monkeypatch.setattr(sys, "argv", ["image", "--stack", stack, "--tag", "t1", "--project", str(project), *more])
    return image.main()


@pytest.mark.usefixtures("commands")
def test_the_digest_is_the_only_line_that_changes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (project / "Pulumi.prod.yaml").read_text().splitlines()
    assert run(project, monkeypatch) == 0
    after = (project / "Pulumi.prod.yaml").read_text().splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert [b.strip() for _, b in changed] == [f"image: hal9-server@{DIGEST}"]


def test_it_pushes_to_the_last_region_for_the_nodes_architecture(
    project: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, monkeypatch)
    calls = commands.read_text()
    assert "aws ecr get-login-password --region ap-south-1" in calls
    assert "--platform linux/amd64" in calls
    assert "--tag 123456789012.dkr.ecr.ap-south-1.amazonaws.com/hal9-server:t1" in calls
    assert "the-password" not in calls


@pytest.mark.usefixtures("commands")
def test_a_tag_in_the_stack_file_becomes_a_digest(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(project, monkeypatch, "dev") == 0
    assert f"image: hal9-server@{DIGEST}" in (project / "Pulumi.dev.yaml").read_text()


@pytest.mark.usefixtures("commands")
def test_a_failed_push_leaves_the_stack_file_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PUSH_FAILS", "1")
    before = (project / "Pulumi.prod.yaml").read_text()
    assert run(project, monkeypatch) == 1
    assert (project / "Pulumi.prod.yaml").read_text() == before
    assert capsys.readouterr().err == ("`docker buildx build` failed with status 7; the stack file is unchanged\n")


def test_a_stack_file_without_an_image_line_is_refused_before_anything_is_built(
    project: Path, commands: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("    image: hal9-server:dev\n", ""))
    assert run(project, monkeypatch, "dev") == 1
    assert "no line `image:` below hal9:server" in capsys.readouterr().err
    assert not commands.exists()


def test_an_unknown_stack_names_those_that_exist(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(project, monkeypatch, "staging") == 1
    assert capsys.readouterr().err == "there is no stack 'staging'; there are dev, prod\n"


def test_absent_docker_is_one_clear_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run(project, monkeypatch) == 1
    assert capsys.readouterr().err.startswith("docker is not installed")


def test_the_image_is_pushed_with_what_it_holds_and_how_it_was_made(
    project: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(project, monkeypatch) == 0
    (build,) = [line for line in commands.read_text().splitlines() if line.startswith("buildx build")]
    assert "--provenance mode=max --sbom true" in build
    assert "--platform linux/amd64 " in build
    bill = json.loads((project / "bills" / "hal9-server-t1.cdx.json").read_text())
    assert "asyncpg" in {one["name"] for one in bill["components"]}


def test_the_architectures_can_be_named(project: Path, commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(project, monkeypatch, "prod", "--platform", "linux/amd64,linux/arm64") == 0
    assert "--platform linux/amd64,linux/arm64 " in commands.read_text()
