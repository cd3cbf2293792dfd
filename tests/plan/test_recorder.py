"""What a plan's records hold."""

from __future__ import annotations

from tests.plan.conftest import NET, URN, Planned


def test_a_urn_has_the_whole_chain_of_parents(planned: Planned) -> None:
    plan = planned(
        f"{NET}\nouter = Net('outer', opts=pulumi.ResourceOptions(providers=[west]))\nNet('inner', "
        "opts=pulumi.ResourceOptions(parent=outer))"
    )
    assert f"{URN}hal9:network:Net$hal9:network:Net$aws:ec2/vpc:Vpc::inner" in plan.urns


def test_a_provider_is_inherited_from_the_component(planned: Planned) -> None:
    plan = planned(f"{NET}\nNet('a', opts=pulumi.ResourceOptions(providers=[west]))")
    (vpc,) = plan.of_type("aws:ec2/vpc:Vpc")
    assert (vpc.provider, vpc.region) == (f"{URN}pulumi:providers:aws::west", "us-west-2")


def test_dependencies_are_recorded_by_property(planned: Planned) -> None:
    plan = planned("""
        vpc = aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=opts)
        aws.ec2.Subnet("s", vpc_id=vpc.id, cidr_block="10.0.0.0/24", opts=opts)
    """)
    (subnet,) = plan.of_type("Subnet")
    assert subnet.dependencies == (f"{URN}aws:ec2/vpc:Vpc::a",)
    assert subnet.property_dependencies == {"vpcId": (f"{URN}aws:ec2/vpc:Vpc::a",)}
    assert subnet.unknown == ["vpcId"]


def test_options_are_recorded(planned: Planned) -> None:
    plan = planned("""
        aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=pulumi.ResourceOptions(
            provider=west, protect=True, retain_on_delete=True, ignore_changes=["tagsAll"],
            custom_timeouts=pulumi.CustomTimeouts(create="1h")))
    """)
    (vpc,) = plan.of_type("Vpc")
    assert (vpc.protect, vpc.retain_on_delete) == (True, True)
    assert (vpc.ignore_changes, vpc.custom_timeouts) == (("tagsAll",), {"create": "1h"})


def test_a_components_outputs_are_recorded(planned: Planned) -> None:
    plan = planned(f"{NET}\nNet('a', opts=pulumi.ResourceOptions(providers=[west]))")
    assert plan.of_type("hal9:network:Net")[0].outputs == {"vpc_id": "[unknown]"}


def test_names_and_dependencies_are_in_order(planned: Planned) -> None:
    plan = planned("""
        pets = [random.RandomPet(f"pet-{name}") for name in "qwertyuiop"]
        together = pulumi.Output.all(*[pet.id for pet in pets]).apply("".join)
        tags = {name: together for name in "zyxwvutsrqponmlkjihgfedcba"}
        aws.ec2.Vpc("a", tags=tags, cidr_block="10.0.0.0/16", opts=opts)
    """)
    (vpc,) = plan.of_type("Vpc")
    assert len(vpc.dependencies) == 10
    assert list(vpc.dependencies) == sorted(vpc.dependencies)
    assert list(vpc.property_dependencies["tags"]) == sorted(vpc.property_dependencies["tags"])
    assert list(vpc.inputs) == sorted(vpc.inputs)
    assert list(vpc.inputs["tags"]) == sorted(vpc.inputs["tags"])
    assert list(plan.inputs) == sorted(plan.inputs)
