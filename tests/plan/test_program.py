"""Programs that the real engine would run, and programs that it would refuse."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from plan import Plan, ProgramFailed, Refused, Unknown, UnknownSecret, run
from tests.plan.conftest import CONFIG, LINES, Planned, Programs

URN = "urn:pulumi:dev::sample::"

NET = """
class Net(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("hal9:network:Net", name, {}, opts)
        self.vpc = aws.ec2.Vpc(name, cidr_block="10.0.0.0/16", opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({"vpc_id": self.vpc.id})
"""


def refusals(planned: Planned, body: str) -> list[str]:
    with pytest.raises(Refused) as caught:
        planned(body)
    return [str(refusal) for refusal in caught.value.refusals]


def failure(planned: Planned, body: str) -> str:
    with pytest.raises(ProgramFailed) as caught:
        planned(body)
    return str(caught.value)


# What a plan holds.


def test_a_urn_has_the_whole_chain_of_parents(planned: Planned) -> None:
    plan = planned(
        f"{NET}\nouter = Net('outer', opts=pulumi.ResourceOptions(providers=[west]))\nNet('inner', opts=pulumi.ResourceOptions(parent=outer))"
    )
    assert f"{URN}hal9:network:Net$hal9:network:Net$aws:ec2/vpc:Vpc::inner" in plan.urns


def test_a_provider_is_inherited_from_the_component(planned: Planned) -> None:
    plan = planned(f"{NET}\nNet('a', opts=pulumi.ResourceOptions(providers=[west]))")
    (vpc,) = plan.of_type("aws:ec2/vpc:Vpc")
    assert (vpc.provider, vpc.region) == (f"{URN}pulumi:providers:aws::west", "us-west-2")


def test_a_resources_own_region_comes_before_its_providers(planned: Planned) -> None:
    plan = planned("aws.ec2.Vpc('a', cidr_block='10.0.0.0/16', region='eu-central-1', opts=opts)")
    assert plan.of_type("Vpc")[0].region == "eu-central-1"


def test_an_input_is_known_as_an_output(planned: Planned) -> None:
    plan = planned("""
        vpc = aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=opts)
        pulumi.export("text", vpc.cidr_block.apply(lambda block: f"block {block}"))
    """)
    assert plan.outputs == {"text": "block 10.0.0.0/16"}


def test_what_the_cloud_computes_is_unknown_and_no_apply_runs_on_it(planned: Planned) -> None:
    plan = planned("""
        vpc = aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=opts)
        pulumi.export("id", vpc.id.apply(lambda value: 1 / 0))
    """)
    assert plan.outputs == {"id": "[unknown]"}
    assert isinstance(plan.outputs["id"], Unknown)


def test_a_member_that_the_cloud_adds_to_an_input_is_unknown(planned: Planned) -> None:
    plan = planned("""
        cluster = aws.eks.Cluster("a", role_arn="arn", vpc_config={"subnet_ids": ["subnet-1"]}, opts=opts)
        pulumi.export("group", cluster.vpc_config.cluster_security_group_id)
        pulumi.export("subnets", cluster.vpc_config.subnet_ids)
    """)
    assert plan.outputs == {"group": "[unknown]", "subnets": ["subnet-1"]}


def test_a_kubernetes_objects_name_is_known(planned: Planned) -> None:
    plan = planned("""
        cluster = kubernetes.Provider("k", kubeconfig="{}")
        name = kubernetes.core.v1.Namespace("n", metadata={"name": "hal9"}, opts=pulumi.ResourceOptions(provider=cluster))
        pulumi.export("name", name.metadata.name)
        pulumi.export("uid", name.metadata.apply(lambda metadata: metadata.name))
    """)
    assert plan.outputs == {"name": "hal9", "uid": "hal9"}


def test_a_random_password_is_unknown_and_secret(planned: Planned) -> None:
    plan = planned("pulumi.export('p', random.RandomPassword('p', length=32).result)")
    assert isinstance(plan.outputs["p"], UnknownSecret)


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


def test_transforms_run(planned: Planned) -> None:
    plan = planned("""
        def tagged(args):
            if args.type_ == "aws:ec2/vpc:Vpc":
                return pulumi.ResourceTransformResult({**args.props, "tags": {"owner": "hal9"}}, args.opts)

        pulumi.runtime.register_resource_transform(tagged)
        aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=opts)
    """)
    assert plan.of_type("Vpc")[0].inputs == {"cidrBlock": "10.0.0.0/16", "tags": {"owner": "hal9"}}
    assert plan.of_type("Vpc")[0].region == "us-west-2"


def test_the_program_reads_the_stacks_configuration(planned: Planned) -> None:
    body = """
        config = pulumi.Config()
        pulumi.export("n", config.require_int("n") + 1)
        pulumi.export("zones", config.require_object("zones")["a"])
        pulumi.export("stack", f"{pulumi.get_project()}/{pulumi.get_stack()}")
    """
    plan = planned(body, {"sample:n": 3, "zones": {"a": ["b"]}})
    assert plan.outputs == {"n": 4, "zones": ["b"], "stack": "sample/dev"}


def test_what_the_program_says_is_kept(planned: Planned) -> None:
    plan = planned("print('hello')\npulumi.log.warn('careful')")
    assert plan.messages == ("warning: careful", "printed: hello")


# What is refused.


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
        f"a (aws:ec2/vpc:Vpc): Default provider for 'aws' disabled. '{URN}aws:ec2/vpc:Vpc::a' must use an explicit provider."
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


def test_a_plain_invoke_fails_and_is_named(planned: Planned) -> None:
    text = failure(planned, "aws.get_availability_zones(opts=pulumi.InvokeOptions(provider=west)).names")
    assert "asked the cloud for aws:index/getAvailabilityZones:getAvailabilityZones" in text


def test_a_parent_that_is_not_registered_is_refused(planned: Planned) -> None:
    body = """
        parent = pulumi.ComponentResource("a:b:C", "here")
        parent.__dict__["urn"] = pulumi.Output.from_input("urn:pulumi:dev::sample::a:b:C::gone")
        aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=pulumi.ResourceOptions(parent=parent, provider=west))
    """
    assert "a (aws:ec2/vpc:Vpc): could not find parent resource urn:pulumi:dev::sample::a:b:C::gone" in refusals(
        planned, body
    )


def test_an_output_as_text_fails_where_it_is_made(planned: Planned) -> None:
    text = failure(
        planned,
        "vpc = aws.ec2.Vpc('a', cidr_block='10.0.0.0/16', opts=opts)\naws.ec2.Subnet('s', vpc_id=f'{vpc.id}', opts=opts)",
    )
    assert f"__main__.py:{LINES + 2} in <module>" in text
    assert "Calling __str__ on an Output[T] is not supported" in text


def test_an_unknown_that_became_part_of_a_text_is_refused(planned: Planned) -> None:
    body = "aws.ec2.Vpc('a', cidr_block='x-04da6b54-80e4-46f7-96ec-b56ff0331ba9', opts=opts)"
    assert refusals(planned, body) == [
        "a (aws:ec2/vpc:Vpc) cidrBlock: holds an Output that was turned into text; use Output.concat or apply"
    ]


@pytest.mark.parametrize(
    ("use", "message"),
    [("if vpc.id: pass", "used as a condition"), ("vpc.id == 'x'", "was compared"), ("[*vpc.id]", "not iterable")],
)
def test_an_output_used_as_a_value_fails_where_it_is_used(planned: Planned, use: str, message: str) -> None:
    text = failure(planned, f"vpc = aws.ec2.Vpc('a', cidr_block='10.0.0.0/16', opts=opts)\n{use}")
    assert message in text
    assert f"__main__.py:{LINES + 2} in <module>" in text


def test_a_resource_that_depends_on_its_own_parent_is_refused(planned: Planned) -> None:
    body = """
        class Net(pulumi.ComponentResource):
            def __init__(self):
                super().__init__("hal9:network:Net", "net", {}, pulumi.ResourceOptions(providers=[west]))
                own = pulumi.ResourceOptions(parent=self, depends_on=[self])
                aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=own)
        Net()
    """
    assert "circular dependency involving a resource of type aws:ec2/vpc:Vpc named a" in failure(planned, body)


def test_a_program_that_waits_for_ever_is_refused(planned: Planned) -> None:
    body = """
        import asyncio
        never = pulumi.Output.from_input(asyncio.Future())
        aws.ec2.Vpc("a", cidr_block=never, opts=opts)
    """
    assert refusals(planned, body)[0].startswith("the program (program): waits for itself")


def test_an_error_that_the_program_logs_is_refused(planned: Planned) -> None:
    assert refusals(planned, "pulumi.log.error('no quota')") == ["the program (log): error: no quota"]


# A program that fails.


def test_a_failure_shows_the_programs_own_frames_alone(planned: Planned) -> None:
    text = failure(planned, "def size(n):\n    return 1 // n\naws.ec2.Vpc('a', cidr_block=str(size(0)), opts=opts)")
    assert text.splitlines() == [
        "The program failed; nothing was planned.",
        f"  __main__.py:{LINES + 3} in <module>",
        "      aws.ec2.Vpc('a', cidr_block=str(size(0)), opts=opts)",
        f"  __main__.py:{LINES + 2} in size",
        "      return 1 // n",
        "ZeroDivisionError: integer division or modulo by zero",
    ]


def test_a_failure_inside_an_apply_shows_its_line(planned: Planned) -> None:
    body = """
        vpc = aws.ec2.Vpc("a", cidr_block="10.0.0.0/16", opts=opts)
        aws.ec2.Subnet("s", vpc_id=vpc.id, cidr_block=vpc.cidr_block.apply(lambda block: block[99]), opts=opts)
    """
    assert f"__main__.py:{LINES + 3} in <lambda>" in failure(planned, body)


def test_a_syntax_error_shows_its_line(planned: Planned) -> None:
    assert f"__main__.py:{LINES + 1}" in failure(planned, "vpc = (")


def test_problems_found_before_a_failure_are_told_too(planned: Planned) -> None:
    body = """
        vpc = aws.ec2.Vpc("a", cidr_block=3, opts=opts)
        vpc.urn.apply(lambda urn: 1 // 0)
    """
    text = failure(planned, body)
    assert "ZeroDivisionError" in text
    assert "a (aws:ec2/vpc:Vpc) cidrBlock: expected a string, got a whole number" in text


def test_a_stack_file_error_passes_as_it_is(planned: Planned) -> None:
    with pytest.raises(Exception, match=r"^two mistakes$") as caught:
        planned("class StackFileError(Exception): pass\nraise StackFileError('two mistakes')")
    assert type(caught.value).__name__ == "StackFileError"


# Runs beside each other.


def test_plans_in_one_process_do_not_see_each_other(program: Programs) -> None:
    project = program("pulumi.export('n', pulumi.Config().get('n') or 'none')")
    first = run("dev", project=project, stack_file={"config": {**CONFIG, "n": "1"}})
    second = run("dev", project=project, stack_file={"config": CONFIG})
    assert (first.outputs, second.outputs) == ({"n": "1"}, {"n": "none"})


def test_a_failed_plan_leaves_no_trace(program: Programs) -> None:
    project = program("raise ValueError(pulumi.Config().get('n'))")
    with pytest.raises(ProgramFailed):
        run("dev", project=project)
    assert run("dev", project=program("random.RandomPet('a')")).of_type("RandomPet")


def test_a_plan_puts_the_process_back_as_it_was(program: Programs) -> None:
    project = program("pulumi.export('cwd', __import__('os').getcwd())")
    before = (Path.cwd(), list(sys.path), list(sys.argv), dict(os.environ))
    plan = run("dev", project=project)
    assert plan.outputs == {"cwd": str(project.resolve())}
    assert before == (Path.cwd(), sys.path, sys.argv, dict(os.environ))


async def test_a_plan_can_be_made_inside_an_event_loop(program: Programs) -> None:
    project = program("pulumi.export('a', 1)")
    plans = await asyncio.gather(*(asyncio.to_thread(run, "dev", project=project) for _ in range(3)))
    assert [plan.outputs for plan in plans] == [{"a": 1}] * 3
    assert isinstance(run("dev", project=project), Plan)
