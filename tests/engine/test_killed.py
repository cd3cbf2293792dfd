"""An `up` whose machine dies half-way, and the operator's way back (docs/runbooks/interrupted-up.md)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.engine.conftest import Say
from tests.engine.engine import Done, Engine, copy_of_repository
from tests.engine.standins.server import Providers
from tools.pending import NOT_IN_A_CLOUD, import_file

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600), pytest.mark.xdist_group("engine")]

UP = ("up", "--yes", "--skip-preview")
CREATES_BEFORE = {"dev": 90, "prod": 150}
"""How many creates the cloud lets through before the machine dies."""


@dataclass
class Rescue:
    """What happened, step by step."""

    engine: Engine
    killed: Done
    pending: list[dict[str, Any]]
    locked: Done
    imported: Done
    repeated: Done
    again: Done


@pytest.fixture(scope="module", params=sorted(CREATES_BEFORE))
def rescue(request: pytest.FixtureRequest, cli: None, say: Say) -> Iterator[Rescue]:
    """A stack whose first `up` was killed in the midst of creates, brought back as the runbook says."""
    stack = request.param
    with TemporaryDirectory() as name, Providers(Path(name)) as providers:
        engine, cloud = Engine(copy_of_repository(Path(name)), stack, providers), providers.cloud
        engine.init()

        def told(step: str, done: Done) -> Done:
            say(f"{stack:<5} {step:<28} {done}")
            return done

        cloud.hold_after(CREATES_BEFORE[stack])
        with engine.started(*UP) as running:
            while not cloud.wait_until_held(0.2):
                assert running.alive, running.end().problems
            killed = told("up, killed half-way", running.end(kill=True))
        cloud.release()
        while not cloud.settled():  # AWS finishes what it has begun, whoever asked for it
            time.sleep(0.05)

        locked = told("up, still locked", engine.run(*UP, check=False))
        engine.run("cancel", "--yes", events=False)
        exported = engine.export()
        ids = {live.urn: live.id for live in cloud.resources()}  # an operator looks them up in AWS
        found = import_file(exported, ids)
        (engine.project / "found.json").write_text(json.dumps(found))
        command = ("import", "--yes", "--skip-preview", "--protect=false", "--generate-code=false", "-f", "found.json")
        imported = told("import of what was found", engine.run(*command))
        told("refresh, the rest cleared", engine.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates"))
        repeated = told("up, repeated", engine.run(*UP))
        again = told("up again", engine.run(*UP))
        yield Rescue(engine, killed, exported["deployment"]["pending_operations"], locked, imported, repeated, again)


def test_the_machine_dies_in_the_midst_of_creates(rescue: Rescue) -> None:
    assert rescue.killed.status < 0
    assert {entry["type"] for entry in rescue.pending} == {"creating"}


def test_the_dead_updates_lock_keeps_others_out(rescue: Rescue) -> None:
    assert rescue.locked.status
    assert "pulumi cancel" in rescue.locked.output
    assert not rescue.locked.operations


def test_what_was_being_created_is_found_and_not_made_twice(rescue: Rescue) -> None:
    pending = {entry["resource"]["urn"] for entry in rescue.pending if _in_a_cloud(entry["resource"])}
    assert pending
    assert pending == {urn for kind, urn in rescue.imported.steps if kind == "import" and "::pulumi:" not in urn}
    assert not pending & {operation.urn for operation in rescue.repeated.operations if operation.kind == "create"}


def test_the_repeated_up_makes_the_rest_and_nothing_else(rescue: Rescue) -> None:
    assert set(rescue.repeated.changes) <= {"create", "same"}
    clouds = [live for live in rescue.engine.providers.cloud.resources() if _in_a_cloud({"type": live.token})]
    assert sorted(live.urn for live in clouds) == sorted(
        entry["urn"] for entry in rescue.engine.state() if entry.get("custom") and _in_a_cloud(entry)
    )


def test_after_that_every_resource_is_the_same(rescue: Rescue) -> None:
    assert set(rescue.again.changes) == {"same"}


def _in_a_cloud(resource: dict[str, Any]) -> bool:
    return resource["type"].split(":")[0] not in NOT_IN_A_CLOUD
