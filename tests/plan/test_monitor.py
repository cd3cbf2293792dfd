"""What the real engine would refuse."""

from __future__ import annotations

import pytest

from plan import Refused, run
from tests.plan.conftest import NET, URN, Planned, Programs, refusals


def test_a_urn_twice_is_refused(planned: Planned) -> None:
    body = "for _ in range(2): aws.ec2.Vpc('a', cidr_block='10.0.0.0/16', opts=opts)"
    assert refusals(planned, body) == [
        f"a (aws:ec2/vpc:Vpc): Duplicate resource URN '{URN}aws:ec2/vpc:Vpc::a'; try giving it a unique name"
    ]


def test_the_same_name_under_two_parents_is_no_duplicate(planned: Planned) -> None:
    body = f"{NET}\nfor name in 'ab': Net(name, opts=pulumi.ResourceOptions(providers=[west]))"
    assert len(planned(body).of_type("Vpc")) == 2


def test_a_resource_without_an_explicit_provider_is_refused(planned: Planned) -> None:
    assert refusals(planned, "aws.ec2.Vpc('a', cidr_block='10.0.0.0/16')") == [
        (
            f"a (aws:ec2/vpc:Vpc): Default provider for 'aws' disabled. '{URN}aws:ec2/vpc:Vpc::a' must use "
            "an explicit provider."
        )
    ]


def test_a_default_provider_that_is_not_switched_off_may_be_used(planned: Planned) -> None:
    assert planned("random.RandomPet('a')").of_type("RandomPet")[0].provider == ""


def test_every_default_provider_can_be_switched_off(program: Programs) -> None:
    project = program("random.RandomPet('a')")
    with pytest.raises(Refused, match="Default provider for 'random' disabled"):
        run("dev", project=project, stack_file={"config": {"pulumi:disable-default-providers": ["*"]}})


def test_wrong_inputs_are_refused(planned: Planned) -> None:
    assert refusals(planned, "aws.ec2.Vpc('a', cidr_block=3, tags={'a': 1}, opts=opts)") == [
        "a (aws:ec2/vpc:Vpc) cidrBlock: expected a string, got a whole number",
        "a (aws:ec2/vpc:Vpc) tags.a: expected a string, got a whole number",
    ]


def test_all_problems_come_at_once(planned: Planned) -> None:
    body = """
        vpc = aws.ec2.Vpc("a", cidr_block=3, opts=opts)
        aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=opts)
        aws.ec2.Subnet("b", vpc_id=vpc.id, tags={"a": 1})
    """
    with pytest.raises(Refused) as caught:
        planned(body)
    assert [refusal.name for refusal in caught.value.refusals] == ["a", "a", "b", "b"]
    assert str(caught.value).startswith("dev has 4 problems; it would not deploy.\n  a (aws:ec2/vpc:Vpc): Dup")


def test_an_invoke_without_a_provider_is_refused(planned: Planned) -> None:
    token = "aws:index/getAvailabilityZones:getAvailabilityZones"
    assert refusals(planned, "pulumi.export('z', aws.get_availability_zones_output().names)") == [
        f"{token} (invoke): Default provider for 'aws' disabled. '{token}' must use an explicit provider."
    ]


def test_the_answer_of_an_invoke_is_unknown(planned: Planned) -> None:
    plan = planned(
        "pulumi.export('z', aws.get_availability_zones_output(opts=pulumi.InvokeOptions(provider=west)).names)"
    )
    assert plan.outputs == {"z": "[unknown]"}
    assert [invoke.token for invoke in plan.invokes] == ["aws:index/getAvailabilityZones:getAvailabilityZones"]


def test_a_parent_that_is_not_registered_is_refused(planned: Planned) -> None:
    body = """
        parent = pulumi.ComponentResource("a:b:C", "here")
        parent.__dict__["urn"] = pulumi.Output.from_input("urn:pulumi:dev::sample::a:b:C::gone")
        aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=pulumi.ResourceOptions(parent=parent, provider=west))
    """
    assert "a (aws:ec2/vpc:Vpc): could not find parent resource urn:pulumi:dev::sample::a:b:C::gone" in refusals(
        planned, body
    )


def test_an_unknown_that_became_part_of_a_text_is_refused(planned: Planned) -> None:
    body = "aws.ec2.Vpc('a', cidr_block='x-04da6b54-80e4-46f7-96ec-b56ff0331ba9', opts=opts)"
    assert refusals(planned, body) == [
        "a (aws:ec2/vpc:Vpc) cidrBlock: holds an Output that was turned into text; use Output.concat or apply"
    ]


def test_an_error_that_the_program_logs_is_refused(planned: Planned) -> None:
    assert refusals(planned, "pulumi.log.error('no quota')") == ["the program (log): error: no quota"]


def test_a_provider_that_is_not_registered_is_refused(planned: Planned) -> None:
    body = """
        west.__dict__["urn"] = pulumi.Output.from_input("urn:pulumi:dev::sample::pulumi:providers:aws::gone")
        aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=opts)
    """
    (refusal,) = refusals(planned, body)
    assert refusal.startswith(
        "a (aws:ec2/vpc:Vpc): unknown provider 'urn:pulumi:dev::sample::pulumi:providers:aws::gone::"
    )


def test_a_remote_component_is_refused(planned: Planned) -> None:
    body = """
        kubernetes.yaml.v2.ConfigGroup("g", yaml="a: b", opts=pulumi.ResourceOptions(
            provider=kubernetes.Provider("k", kubeconfig="{}")))
    """
    (refusal,) = refusals(planned, body)
    assert refusal.startswith("g (kubernetes:yaml/v2:ConfigGroup): a remote component cannot be planned")


def test_a_providers_own_inputs_are_checked(planned: Planned) -> None:
    assert refusals(planned, "aws.Provider('p', region='us-west-2', default_tags={'tags': {'a': 1}})") == [
        "p (pulumi:providers:aws) defaultTags.tags.a: expected a string, got a whole number"
    ]
