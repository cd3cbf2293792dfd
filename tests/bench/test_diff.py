"""The table of what telling a change takes, and the change that it tells."""

from __future__ import annotations

from bench.diff import changed, table
from plan.program import REPOSITORY
from plan.project import stack_file
from plan.reader import read_yaml


def test_the_change_is_of_databases_epoch_and_quota() -> None:
    data = read_yaml(stack_file(REPOSITORY, "prod"))
    config = changed(data)["config"]
    assert {key for key in config if config[key] != data["config"].get(key)} == {"hal9:database", "hal9:limits"}


def test_a_resource_is_beside_a_resource_of_the_first() -> None:
    lines = table({3: (100, [1.0, 2.0, 9.0]), 6: (200, [4.0]), 12: (400, [16.0])}, [8.0, 9.0, 12.0])
    assert lines[0] == "`make diff` of two prods: 9.0 s (8.0 to 12.0), goal 10 s"
    assert [line.split()[4] for line in lines[2:]] == ["1.00", "1.00", "2.00"]
