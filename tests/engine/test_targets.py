"""The README's order of a first deployment, in the real engine: AWS
one region at a time, then what runs in the clusters.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.engine.conftest import EngineOn
from tests.engine.engine import copy_of_repository

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600), pytest.mark.xdist_group("engine")]

UP = ("up", "--yes", "--skip-preview")


def set_deployed(project: Path, deployed: bool) -> None:
    """`pulumi config set --path hal9:server.deployed`, on the copy."""
    path = project / "Pulumi.prod.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"]["hal9:server"]["deployed"] = deployed
    path.write_text(yaml.safe_dump(content))


def test_a_first_deployment_goes_region_by_region_and_then_into_the_clusters(
    engine_on: EngineOn, tmp_path: Path
) -> None:
    project = copy_of_repository(tmp_path)
    engine = engine_on(project, "prod")
    set_deployed(project, deployed=False)
    first = engine.run(*UP, "--target", "**hal9:domain:Domain**", "--target", "**RegionCell**::us-west**")
    created = [operation.urn for operation in first.operations if operation.kind == "create"]
    assert any("vpc:Vpc" in urn for urn in created)
    assert all("::us-west" in urn or "hal9:domain:Domain" in urn for urn in created)
    rest_of_aws = engine.run(*UP)
    assert set(rest_of_aws.changes) == {"create", "same"}
    set_deployed(project, deployed=True)
    clusters = engine.run(*UP)
    assert set(clusters.changes) == {"create", "same"}
    assert all("kubernetes" in urn or "random" in urn or "hal9:" in urn for _, urn in clusters.steps)
