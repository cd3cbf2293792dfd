"""What a preview knows of resources that are not there yet."""

from __future__ import annotations

from plan import Unknown, UnknownSecret
from tests.plan.conftest import Planned


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
        there = pulumi.ResourceOptions(provider=cluster)
        name = kubernetes.core.v1.Namespace("n", metadata={"name": "hal9"}, opts=there)
        pulumi.export("name", name.metadata.name)
        pulumi.export("uid", name.metadata.apply(lambda metadata: metadata.name))
    """)
    assert plan.outputs == {"name": "hal9", "uid": "hal9"}


def test_a_random_password_is_unknown_and_secret(planned: Planned) -> None:
    plan = planned("pulumi.export('p', random.RandomPassword('p', length=32).result)")
    assert isinstance(plan.outputs["p"], UnknownSecret)
