"""The stack file's exceptions to policies: read as they are written, each mistake told with its path."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from tests.stackfiles import put, refusal, topology

ENTRY = {
    "policy": "rds-retention-explicit",
    "resource": "shard-0-us-west",
    "reason": "restored from a snapshot, HAL-12",
    "until": "2030-01-31",
}


def test_an_exception_has_a_policy_a_resource_a_reason_and_a_last_day() -> None:
    found = topology("prod", put("policyExceptions", [ENTRY])).policy_exceptions[0]
    assert (found.policy, found.resource, found.until) == (
        "rds-retention-explicit",
        "shard-0-us-west",
        date(2030, 1, 31),
    )


def test_a_stack_file_has_no_exceptions_unless_it_names_some() -> None:
    assert topology("prod").policy_exceptions == ()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("until", "soon", "'soon' is not a day such as 2030-01-31"),
        ("until", 20300131, "20300131 is not a day such as 2030-01-31"),
        ("reason", " ", "' ' is not a reason"),
        ("reason", ..., "is missing; it must be set"),
        ("policy", "RDS Retention", "'RDS Retention' is not a policy's name such as rds-retention-explicit"),
        ("resource", "", "'' is not a resource's logical name such as shard-0-us-west"),
    ],
)
def test_a_mistake_in_an_exception_is_told_with_its_path(key: str, value: Any, said: str) -> None:
    entry = {**ENTRY, key: value}
    if value is ...:
        del entry[key]
    assert refusal("prod", put("policyExceptions", [entry])) == [f"hal9:policyExceptions[0].{key} {said}"]
