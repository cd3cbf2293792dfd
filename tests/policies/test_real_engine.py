"""The pack in the real Pulumi engine: both stacks pass, and a stack with a public database is stopped.

The program is the project's own `__main__.py`, run inline (tests/engine/test_policy_packs.py says why).
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pulumi_aws as aws
import pytest
from pulumi import automation

from plan.program import REPOSITORY
from policies import configuration, tokens
from policies.stack import Stack
from tests.engine.conftest import EngineOn, cli, engine_on, providers
from tests.engine.engine import Engine, copy_of_repository
from tests.policies.conftest import Judge
from tests.policies.edits import edited, put

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600), pytest.mark.xdist_group("engine")]
__all__ = ["cli", "engine_on", "providers"]  # fixtures of the engine's own folder

ACCOUNT = "814702239655"
PUBLIC = "rds-private-encrypted-protected"


def _program() -> None:
    runpy.run_path(str(REPOSITORY / "__main__.py"), run_name="__main__")


def _with_a_public_database() -> None:
    """The program with one database opened, as a hurried change in a component would."""
    plain = aws.rds.Instance.__init__

    def opened(self: Any, name: str, *arguments: Any, **inputs: Any) -> None:
        if name == "shard-0-us-west":
            inputs["publicly_accessible"] = True
        plain(self, name, *arguments, **inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws.rds.Instance, "__init__", opened)
        _program()


def _project(directory: Path) -> Path:
    """A copy of this project, with the environment that its `PulumiPolicy.yaml` names."""
    project = copy_of_repository(directory)
    (project / ".venv").symlink_to(sys.prefix)
    for file in project.glob("Pulumi.*.yaml"):
        own = (
            file.read_text("utf-8")
            .replace("123456789012", ACCOUNT)
            .replace("sha256:" + 64 * "0", f"sha256:{8 * '0123abcd'}")
        )
        file.write_text(own, "utf-8")
    return project


def _preview(engine: Engine, program: Any = _program) -> automation.PreviewResult:
    return engine.inline(program).preview(
        policy_packs=[str(engine.project / "policies")],
        policy_pack_configs=[str(configuration.file_of(engine.stack))],
    )


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_stack_passes_the_pack(stack: str, engine_on: EngineOn, tmp_path: Path) -> None:
    engine = engine_on(_project(tmp_path), stack, language_host=False)
    done = _preview(engine)
    assert "hal9@v1.0.0" in done.stdout
    assert "[mandatory]" not in done.stdout


def test_a_public_database_is_stopped_with_the_words_of_make_policy(
    engine_on: EngineOn, tmp_path: Path, prod: Stack, judged: Judge
) -> None:
    broken = edited(prod, tokens.RDS, ["shard-0-us-west"], put(("publiclyAccessible",), True))
    said = next(v for v in judged(broken).verdicts if v.policy.name == PUBLIC).messages
    assert len(said) == 1
    engine = engine_on(_project(tmp_path), "dev", language_host=False)
    with pytest.raises(automation.CommandError) as stopped:
        _preview(engine, _with_a_public_database)
    told = " ".join(str(stopped.value).split())
    assert PUBLIC in told
    assert " ".join(said[0].split()) in told
    assert "hunter2" not in told


def test_a_stack_with_what_it_was_shipped_with_is_stopped(engine_on: EngineOn, tmp_path: Path) -> None:
    project = _project(tmp_path)
    file = project / "Pulumi.dev.yaml"
    file.write_text(file.read_text("utf-8").replace(ACCOUNT, "123456789012"), "utf-8")
    with pytest.raises(automation.CommandError, match="examples-replaced"):
        _preview(engine_on(project, "dev", language_host=False))
