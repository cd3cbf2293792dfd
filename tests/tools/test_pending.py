from __future__ import annotations

from typing import Any

from tools.pending import import_file

STACK = "urn:pulumi:dev::hal9::pulumi:pulumi:Stack::hal9-dev"
PARENT = "urn:pulumi:dev::hal9::hal9:network:RegionNetwork::west"
PROVIDER = "urn:pulumi:dev::hal9::pulumi:providers:aws::west"
VPC = "urn:pulumi:dev::hal9::hal9:network:RegionNetwork$aws:ec2/vpc:Vpc::west"


def _exported(kind: str = "creating", **resource: Any) -> dict[str, Any]:
    given = {"urn": VPC, "type": "aws:ec2/vpc:Vpc", "parent": PARENT, "provider": f"{PROVIDER}::1234", **resource}
    return {"deployment": {"pending_operations": [{"type": kind, "resource": given}]}}


def test_a_pending_create_is_listed_with_parent_and_provider_and_no_id() -> None:
    assert import_file(_exported()) == {
        "nameTable": {"RegionNetwork-west": PARENT, "aws-west": PROVIDER},
        "resources": [
            {
                "type": "aws:ec2/vpc:Vpc",
                "name": "west",
                "id": "",
                "parent": "RegionNetwork-west",
                "provider": "aws-west",
            }
        ],
    }


def test_the_stack_itself_is_no_parent() -> None:
    assert "parent" not in import_file(_exported(parent=STACK))["resources"][0]


def test_an_interrupted_delete_is_not_listed() -> None:
    assert import_file(_exported("deleting"))["resources"] == []


def test_what_is_in_no_cloud_is_not_listed() -> None:
    assert import_file(_exported(type="random:index/randomPassword:RandomPassword"))["resources"] == []


def test_a_stack_with_nothing_pending_gives_an_empty_file() -> None:
    assert import_file({"deployment": {"resources": []}}) == {"nameTable": {}, "resources": []}
