"""Which AWS region a resource is in."""

from __future__ import annotations

from tests.plan.conftest import Planned


def test_a_resources_own_region_comes_before_its_providers(planned: Planned) -> None:
    plan = planned("aws.ec2.Vpc('a', cidr_block='10.0.0.0/16', region='eu-central-1', opts=opts)")
    assert plan.of_type("Vpc")[0].region == "eu-central-1"


def test_a_kubernetes_object_is_in_the_region_of_its_cluster(planned: Planned) -> None:
    plan = planned("""
        cluster = aws.eks.Cluster("c", role_arn="arn", vpc_config={"subnet_ids": ["subnet-1"]}, opts=opts)
        provider = kubernetes.Provider("k", kubeconfig=cluster.endpoint)
        kubernetes.core.v1.Namespace("n", metadata={"name": "n"}, opts=pulumi.ResourceOptions(provider=provider))
    """)
    assert [plan.of_type(kind)[0].region for kind in ("Cluster", "kubernetes", "Namespace")] == ["us-west-2"] * 3


def test_what_needs_no_region_has_none(planned: Planned) -> None:
    assert planned("random.RandomPet('a')").of_type("RandomPet")[0].region == ""
