from __future__ import annotations

from tests.engine.order import created_too_early, deleted_too_early, dependencies, references
from tests.engine.standins.cloud import Live, Operation


def _operation(kind: str, urn: str, started: int, ended: int | None) -> Operation:
    return Operation(kind, "aws", urn, started, ended)


def test_a_resource_deleted_after_what_needs_it_is_in_order() -> None:
    operations = [_operation("delete", "subnet", 1, 2), _operation("delete", "vpc", 3, 4)]
    assert not deleted_too_early(operations, {"subnet": {"vpc"}})


def test_a_resource_deleted_first_is_too_early() -> None:
    operations = [_operation("delete", "vpc", 1, 2), _operation("delete", "subnet", 3, 4)]
    assert deleted_too_early(operations, {"subnet": {"vpc"}}) == ["vpc was deleted before subnet, which needs it"]


def test_a_resource_deleted_while_what_needs_it_goes_is_too_early() -> None:
    operations = [_operation("delete", "subnet", 1, 4), _operation("delete", "vpc", 2, 3)]
    assert deleted_too_early(operations, {"subnet": {"vpc"}})


def test_a_resource_created_while_what_it_needs_comes_is_too_early() -> None:
    operations = [_operation("create", "vpc", 1, 3), _operation("create", "subnet", 2, 4)]
    assert created_too_early(operations, {"subnet": {"vpc"}}) == ["subnet was created before vpc, which it needs"]


def test_dependencies_are_those_of_the_state_with_parent_and_provider() -> None:
    state: list[dict[str, object]] = [
        {"urn": "a", "dependencies": ["b"], "parent": "c", "provider": "urn:p::1234"},
        {"urn": "b"},
    ]
    assert dependencies(state) == {"a": {"b", "c", "urn:p"}, "b": set()}


def test_a_literal_id_or_arn_deep_in_the_inputs_is_a_reference() -> None:
    role = Live("role", "t", "s", "role-123456", {}, {"arn": "arn:aws:iam::1:role/r"})
    user = Live("user", "t", "s", "user-123456", {"a": [{"b": "arn:aws:iam::1:role/r"}]}, {})
    assert references([role, user]) == {"role": set(), "user": {"role"}}


def test_a_name_is_a_reference_only_where_a_name_of_that_kind_belongs() -> None:
    cluster = Live("cluster", "aws:eks/cluster:Cluster", "s", "hal9-west", {"name": "hal9-west"}, {}, "hal9-west")
    group = Live("group", "aws:eks/nodeGroup:NodeGroup", "s", "nodegroup-1", {"clusterName": "hal9-west"}, {})
    vpc = Live("vpc", "aws:ec2/vpc:Vpc", "s", "vpc-123456", {"tags": {"Name": "hal9-west"}}, {})
    assert references([cluster, group, vpc]) == {"cluster": set(), "group": {"cluster"}, "vpc": set()}
