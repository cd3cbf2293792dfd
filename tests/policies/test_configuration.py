"""Levels and thresholds: CrossGuard's own file, read with every mistake told, and dev's relaxations all needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from policies import configuration
from policies.configuration import ConfigurationError, configure, file_of, read
from policies.policy import Level
from policies.registry import POLICIES
from policies.report import report
from tests.policies.conftest import Judge, StackOf, fired
from tests.stackfiles import topology
from topology import capacity

DEV: dict[str, Any] = json.loads(file_of("dev").read_text())


def written(directory: Path, data: Any) -> Path:
    path = directory / "config.test.json"
    path.write_text(json.dumps(data))
    return path


def test_a_file_that_sets_nothing_leaves_everything_as_the_policies_say(tmp_path: Path) -> None:
    assert not any(one.changes for one in read(written(tmp_path, {}), POLICIES).values())


def test_a_file_that_is_not_there_is_told_and_not_taken_for_every_default(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"There is no .*none\.json"):
        read(tmp_path / "none.json", POLICIES)


def test_a_folder_for_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        read(tmp_path, POLICIES)


def test_prod_relaxes_nothing_and_sets_what_was_measured() -> None:
    changed = {name: one for name, one in read(file_of("prod"), POLICIES).items() if one.changes}
    assert changed.keys() == {"region-capacity-n-minus-1"}
    (carried,) = changed.values()
    assert carried.level is carried.policy.level
    measured = capacity.users_per_pod(topology("prod"))
    assert carried.settings == {"users": capacity.TARGET_USERS, "usersPerPod": measured}


@pytest.mark.parametrize("policy", DEV)
def test_dev_relaxes_nothing_that_it_does_not_need(
    policy: str, stack_of: StackOf, judged: Judge, tmp_path: Path
) -> None:
    without = read(written(tmp_path, {name: value for name, value in DEV.items() if name != policy}), POLICIES)
    assert fired(judged(stack_of("dev"), configured=without)) == {policy}


def test_what_a_stack_relaxes_is_in_its_report(stack_of: StackOf, judged: Judge) -> None:
    judgement = judged(stack_of("dev"), settings="dev")
    brief = " ".join(report(judgement).split())
    assert "Set for dev, other than the defaults" in brief
    assert all(name in brief for name in DEV)
    lines = report(judgement, verbose=True).splitlines()
    assert "  rds-retention-explicit: days 1 (default 7)" in lines
    assert "  stateful-protected: disabled (default mandatory)" in lines


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"rds-retention": {}}, "rds-retention: is no policy"),
        ({"rds-retention-explicit": 7}, "rds-retention-explicit: 7 is neither a level nor an object"),
        ({"rds-retention-explicit": "strict"}, "rds-retention-explicit.enforcementLevel: 'strict' is not one of"),
        ({"rds-retention-explicit": {"dayz": 7}}, "rds-retention-explicit.dayz: is no setting; there are"),
        ({"rds-retention-explicit": {"days": "7"}}, "rds-retention-explicit.days: '7' is not a whole number"),
        ({"rds-retention-explicit": {"days": 0}}, "rds-retention-explicit.days: 0 is below 1"),
        ({"listener-tls13": {"listeners": [1]}}, "listener-tls13.listeners: [1] is not a list of texts"),
    ],
)
def test_a_mistake_in_the_file_is_told_with_its_key(entry: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(written(tmp_path, entry), POLICIES)
    assert f"  {said}" in str(refused.value)


def test_a_file_that_is_no_json_is_told_by_name(tmp_path: Path) -> None:
    path = tmp_path / "config.test.json"
    path.write_text("{")
    with pytest.raises(ConfigurationError, match=r"config\.test\.json is not JSON"):
        read(path, POLICIES)


def test_numbers_come_back_from_the_engine_as_floats() -> None:
    assert configure(POLICIES["rds-retention-explicit"], {"days": 14.0}).settings == {"days": 14}


def test_a_level_alone_is_taken_too() -> None:
    assert configure(POLICIES["rds-watched"], "advisory").level is Level.ADVISORY


def test_every_setting_has_a_schema_that_takes_its_default() -> None:
    for policy in POLICIES.values():
        for setting in policy.settings.values():
            assert setting.read(setting.schema["default"]) == setting.default
            assert setting.schema["description"]


def test_a_stack_has_its_file_beside_the_policies() -> None:
    assert file_of("dev").is_file()
    assert file_of("dev").parent == Path(configuration.__file__).parent
