"""Changes that AWS refuses, or makes in an order of its own, in the real engine with the stand-in that knows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from facts.replacements import DATABASE
from tests.engine.conftest import EngineOn
from tests.engine.engine import Done, Engine, project_of
from tests.engine.test_standins import HEAD

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

UP = ("up", "--yes", "--skip-preview")
PRIMARY = """
import json
change = json.loads(pulumi.Config().get("change") or "{}")
def instance(name, **given):
    common = dict(identifier=name, instance_class="db.m6g.large", skip_final_snapshot=True, opts=in_west)
    return aws.rds.Instance(name, **{**common, **given})
"""
REPLICATED = (
    PRIMARY
    + """
old = instance("shard-1-eu-central", engine="postgres", username="hal9", password="x", allocated_storage=100)
source = {} if change.get("promoted") else {"replicate_source_db": old.arn}
new = instance("shard-1-us-west", **source)
"""
)


def changed(engine: Engine, text: str, *, check: bool = True) -> Done:
    engine.run("config", "set", "change", text, events=False)
    return engine.run(*UP, check=check)


def promote(engine: Engine, name: str) -> None:
    """Somebody promotes a replica by hand, in AWS."""
    cloud = engine.providers.cloud
    for key, live in list(cloud.live.items()):
        if live.physical_name == name:
            without = {k: v for k, v in live.inputs.items() if k != "replicateSourceDb"}
            outputs = {k: v for k, v in live.outputs.items() if k != "replicateSourceDb"}
            cloud.live[key] = replace(live, inputs=without, outputs=outputs)


def test_a_promotion_by_hand_is_no_change_after_a_refresh_and_is_refused_before(
    engine_on: EngineOn, tmp_path: Path
) -> None:
    engine = engine_on(project_of(tmp_path, HEAD + REPLICATED))
    engine.run(*UP)
    promote(engine, "shard-1-us-west")
    early = changed(engine, '{"promoted": true}', check=False)
    assert "is not a read replica" in early.problems
    engine.run("refresh", "--yes", "--skip-preview")
    assert set(engine.run(*UP).changes) == {"same"}


def test_without_the_stack_files_word_a_promoted_instance_cannot_be_made_a_replica_again(
    engine_on: EngineOn, tmp_path: Path
) -> None:
    engine = engine_on(project_of(tmp_path, HEAD + REPLICATED))
    engine.run(*UP)
    promote(engine, "shard-1-us-west")
    engine.run("refresh", "--yes", "--skip-preview")
    assert "cannot elect new source database" in engine.run(*UP, check=False).problems


def test_a_promotion_by_the_program_is_an_update_in_place(engine_on: EngineOn, tmp_path: Path) -> None:
    engine = engine_on(project_of(tmp_path, HEAD + REPLICATED))
    engine.run(*UP)
    done = changed(engine, '{"promoted": true}')
    assert [kind for kind, _ in done.steps] == ["update"]
    assert all("replicateSourceDb" not in x.inputs for x in engine.providers.cloud.resources() if x.token == DATABASE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('{"allocated_storage": 50}', "storage cannot be reduced"),
        ('{"engine_version": "17"}', "AllowMajorVersionUpgrade"),
        ('{"engine_version": "15"}', "Cannot upgrade postgres from 16 to 15"),
    ],
)
def test_what_rds_refuses_is_refused(change: str, said: str, engine_on: EngineOn, tmp_path: Path) -> None:
    program = (
        PRIMARY + 'instance("a", **{**dict(engine="postgres", engine_version="16", allocated_storage=100), **change})'
    )
    engine = engine_on(project_of(tmp_path, HEAD + program))
    engine.run(*UP)
    assert said in changed(engine, change, check=False).problems


def test_a_change_of_size_waits_for_the_window(engine_on: EngineOn, tmp_path: Path) -> None:
    program = PRIMARY + 'instance("a", engine="postgres", **change)'
    engine = engine_on(project_of(tmp_path, HEAD + program))
    engine.run(*UP)
    changed(engine, '{"instance_class": "db.m6g.2xlarge"}')
    (live,) = [x for x in engine.providers.cloud.resources() if x.token == DATABASE]
    assert live.inputs["instanceClass"] == "db.m6g.large"


def test_a_named_node_group_goes_before_its_successor_comes(engine_on: EngineOn, tmp_path: Path) -> None:
    program = (
        PRIMARY
        + """
aws.eks.NodeGroup("n", node_group_name="n", cluster_name="c", node_role_arn="arn", subnet_ids=["s"],
    scaling_config={"min_size": 1, "max_size": 1, "desired_size": 1},
    instance_types=[change.get("type", "m5.large")], opts=in_west)
"""
    )
    engine = engine_on(project_of(tmp_path, HEAD + program))
    engine.run(*UP)
    done = changed(engine, '{"type": "m6i.large"}')
    assert [operation.kind for operation in done.operations if operation.kind != "read"] == ["delete", "create"]


def test_a_secrets_name_stays_taken_for_its_time_of_grace(engine_on: EngineOn, tmp_path: Path) -> None:
    program = (
        PRIMARY
        + """
if change.get("gone") is not True:
    aws.secretsmanager.Secret(change.get("as", "s"), name="s", opts=in_west)
"""
    )
    engine = engine_on(project_of(tmp_path, HEAD + program))
    engine.run(*UP)
    changed(engine, '{"gone": true}')
    assert "scheduled for deletion" in changed(engine, '{"as": "t"}', check=False).problems


def test_a_database_is_not_deleted_without_its_final_snapshots_name(engine_on: EngineOn, tmp_path: Path) -> None:
    program = PRIMARY + 'instance("a", engine="postgres", skip_final_snapshot=False)'
    engine = engine_on(project_of(tmp_path, HEAD + program))
    engine.run(*UP)
    assert (
        "final_snapshot_identifier is required"
        in engine.run("destroy", "--yes", "--skip-preview", check=False).problems
    )
