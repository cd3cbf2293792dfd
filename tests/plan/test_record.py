"""Finding things in a plan."""

from __future__ import annotations

from plan import Plan, Resource
from tests.plan.conftest import NET, Planned


def test_resources_are_found_by_their_type_or_its_last_part(planned: Planned) -> None:
    plan = planned("aws.ec2.Vpc('a', cidr_block='10.0.0.0/16', opts=opts)")
    assert plan.of_type("Vpc") == plan.of_type("aws:ec2/vpc:Vpc") != []
    assert plan.of_type("vpc") == []


def test_the_components_around_a_resource_are_found_from_the_outside_in(planned: Planned) -> None:
    plan = planned(f"""{NET}
outer = Net("outer", opts=pulumi.ResourceOptions(providers=[west]))
Net("inner", opts=pulumi.ResourceOptions(parent=outer))
""")
    vpc = next(r for r in plan.of_type("Vpc") if r.name == "inner")
    assert [component.name for component in plan.ancestors(vpc)] == ["outer", "inner"]
    assert plan.ancestors(plan.of_type("pulumi:providers:aws")[0]) == []


def test_plans_are_equal_however_long_they_took() -> None:
    resource = Resource("urn", "aws:ec2/vpc:Vpc", "a", "", custom=True)
    assert Plan("p", "s", (resource,), {}, seconds=1) == Plan("p", "s", (resource,), {}, seconds=2)
    assert Plan("p", "s", (resource,), {}) != Plan("p", "s", (), {})


def test_the_kind_of_a_provider_is_its_package() -> None:
    provider = Resource("urn", "pulumi:providers:aws", "a", "", custom=True)
    assert (provider.is_provider, provider.kind, provider.package) == (True, "aws", "pulumi")
