"""What becomes of a resource, judged by what AWS's provider said of its properties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from diff.comparison import Change, Kind, compare
from plan.record import Plan, Resource
from plan.values import Unknown

DATABASE = "aws:rds/instance:Instance"


def resource(name: str, kind: str = DATABASE, made_from: str = "", **given: Any) -> Resource:
    """A resource; what is unknown in it comes from `made_from`."""
    sources = {key: (made_from,) for key, value in given.items() if isinstance(value, Unknown)}
    return Resource(
        urn=name,
        type=kind,
        name=name,
        parent="",
        custom=True,
        provider="aws",
        region="us-west-2",
        inputs=given,
        property_dependencies=sources,
    )


def plan(*resources: Resource) -> Plan:
    return Plan("hal9", "prod", resources, {})


def change(before: list[Resource], after: list[Resource]) -> list[tuple[str, Kind]]:
    return [(one.resource.name, one.kind) for one in compare(plan(*before), plan(*after)).changes]


def only(before: Resource, after: Resource) -> Change:
    (found,) = compare(plan(before), plan(after)).changes
    return found


def test_the_same_plan_changes_nothing() -> None:
    one = resource("a", identifier="a", password=Unknown())
    assert compare(plan(one), plan(one)).changes == ()
    assert compare(plan(one), plan(one)).unchanged == 1


def test_a_property_that_the_provider_replaces_replaces_after_its_successor_is_there() -> None:
    found = only(
        resource("a", "aws:ec2/subnet:Subnet", cidrBlock="1"), resource("a", "aws:ec2/subnet:Subnet", cidrBlock="2")
    )
    assert (found.kind, found.because) == (Kind.REPLACED_AFTER, ("cidrBlock",))


def test_a_successor_that_keeps_the_name_comes_after_its_predecessor_is_gone() -> None:
    nodes = "aws:eks/nodeGroup:NodeGroup"
    found = only(
        resource("a", nodes, nodeGroupName="on-demand", instanceTypes=["m5.large"]),
        resource("a", nodes, nodeGroupName="on-demand", instanceTypes=["m6i.large"]),
    )
    assert found.kind is Kind.REPLACED_BEFORE
    named_by_aws = only(resource("a", nodes, instanceTypes=["x"]), resource("a", nodes, instanceTypes=["y"]))
    assert named_by_aws.kind is Kind.REPLACED_AFTER


def test_a_primary_takes_its_rows_along_and_a_copy_takes_nothing() -> None:
    assert only(resource("a", username="a"), resource("a", username="b")).lost == "the rows of its shard"
    copy = {"replicateSourceDb": "arn"}
    assert only(resource("a", username="a", **copy), resource("a", username="b", **copy)).lost == ""


def test_what_is_protected_stands_in_the_way_of_its_end_and_of_nothing_else() -> None:
    one = replace(resource("a", instanceClass="s"), protect=True)
    (gone,) = compare(plan(one), plan()).changes
    assert (gone.kind, gone.protected) == (Kind.DELETED, True)
    assert not only(one, replace(one, inputs={"instanceClass": "m"})).protected


def test_what_is_retained_is_forgotten_and_loses_nothing() -> None:
    (gone,) = compare(plan(replace(resource("a"), retain_on_delete=True)), plan()).changes
    assert (gone.kind, gone.lost) == (Kind.FORGOTTEN, "")


def test_a_class_waits_for_the_window_unless_it_is_told_not_to() -> None:
    waits = only(
        resource("a", instanceClass="s", applyImmediately=False),
        resource("a", instanceClass="m", applyImmediately=False),
    )
    assert (waits.kind, waits.held) == (Kind.WAITING, ("instanceClass",))
    now = only(
        resource("a", instanceClass="s", applyImmediately=True), resource("a", instanceClass="m", applyImmediately=True)
    )
    assert now.kind is Kind.RESTARTED


def test_a_replacement_reaches_what_is_made_from_it_as_far_as_it_replaces() -> None:
    def stack(block: str) -> list[Resource]:
        return [
            resource("vpc", "aws:ec2/vpc:Vpc", cidrBlock=block),
            resource("subnet", "aws:ec2/subnet:Subnet", "vpc", vpcId=Unknown(), cidrBlock="10.0.0.0/24"),
            replace(
                resource("group", "aws:rds/subnetGroup:SubnetGroup", subnetIds=[Unknown()]),
                property_dependencies={"subnetIds": ("subnet",)},
            ),
            replace(
                resource("user", "aws:sns/topic:Topic", kmsMasterKeyId=Unknown()),
                property_dependencies={"kmsMasterKeyId": ("group",)},
            ),
        ]

    assert sorted(change(stack("10.0.0.0/16"), stack("10.9.0.0/16"))) == [
        ("group", Kind.UPDATED),
        ("subnet", Kind.REPLACED_AFTER),
        ("vpc", Kind.REPLACED_AFTER),
    ]


def test_another_provider_is_another_resource() -> None:
    one = resource("a", identifier="a")
    assert only(one, replace(one, provider="other", region="eu-central-1")).kind is Kind.REPLACED_AFTER


def test_all_that_a_region_has_is_made_anew_where_its_provider_is() -> None:
    def stack(region: str) -> list[Resource]:
        provider = "urn:pulumi:prod::hal9::pulumi:providers:aws::us-west"
        west = replace(resource(provider, "pulumi:providers:aws", region=region), provider="")
        return [west, replace(resource("a", identifier="a"), provider=provider)]

    assert [kind for _, kind in change(stack("us-west-2"), stack("us-east-1"))] == [Kind.REPLACED_AFTER] * 2


def test_what_the_program_ignores_is_no_change() -> None:
    one = replace(resource("a", scalingConfig={"desiredSize": 1}), ignore_changes=("scalingConfig.desiredSize",))
    assert change([one], [replace(one, inputs={"scalingConfig": {"desiredSize": 4}})]) == []


def test_the_largest_harm_comes_first() -> None:
    before = [resource("kept", tags={"a": "1"}), resource("primary"), resource("copy", replicateSourceDb="arn")]
    after = [resource("kept", tags={"a": "2"}), resource("new")]
    assert [name for name, _ in change(before, after)] == ["primary", "copy", "kept", "new"]


def test_a_config_map_changes_in_place_a_secret_is_replaced_and_a_deployments_pods_roll() -> None:
    maps, pods, secrets = (
        f"kubernetes:{kind}" for kind in ("core/v1:ConfigMap", "apps/v1:Deployment", "core/v1:Secret")
    )
    named: dict[str, Any] = {"metadata": {"name": "m", "namespace": "n"}}

    def changed(kind: str) -> Kind:
        return only(resource("m", kind, data={"a": "1"}, **named), resource("m", kind, data={"a": "2"}, **named)).kind

    assert changed(maps) is Kind.UPDATED
    assert changed(secrets) is Kind.REPLACED_BEFORE
    template: dict[str, Any] = {"spec": {"template": {"metadata": {"annotations": {"hash": "1"}}}}}
    rolled: dict[str, Any] = {"spec": {"template": {"metadata": {"annotations": {"hash": "2"}}}}}
    assert only(resource("d", pods, **template), resource("d", pods, **rolled)).kind is Kind.RESTARTED


def test_pods_roll_with_a_document_of_which_a_known_part_changes() -> None:
    def stack(rate: int) -> list[Resource]:
        document = {"region": "us-west", "limits": {"userRate": rate}}
        ground, pods = "hal9:workload:Ground", "kubernetes:apps/v1:Deployment"
        hashed = {"template": {"metadata": {"annotations": {"hash": Unknown()}}}}
        west = replace(resource("west", "hal9:region:RegionCell"), name="us-west", custom=False, region="")
        return [
            west,
            replace(resource("aws", "pulumi:providers:aws"), parent="west"),
            replace(resource("d", "hal9:document:DeploymentDocument", document=document), custom=False, region=""),
            replace(resource("ground", ground), custom=False, region=""),
            replace(resource("pods", pods, spec=hashed), parent="ground"),
            replace(resource("map", "kubernetes:core/v1:ConfigMap", data={"text": Unknown()}), parent="ground"),
            replace(resource("other", "kubernetes:core/v1:ConfigMap", data={"text": "known"}), parent="ground"),
        ]

    assert change(stack(1), stack(1)) == []
    assert sorted(change(stack(1), stack(2))) == [("map", Kind.UPDATED), ("pods", Kind.RESTARTED)]
