"""What comes after what, in the clusters of a whole plan."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from plan import Plan
from plan.record import Resource
from tests.conftest import PlanOf

REGIONS = ("us-west", "eu-central", "ap-south")


def _named(plan: Plan, name: str) -> Resource:
    return next(one for one in plan.resources if one.name == name and one.custom)


def _before(plan: Plan, resource: Resource) -> Iterator[Resource]:
    """Everything that is made before a resource, directly or not."""
    seen: set[str] = set()
    waiting = list(resource.dependencies)
    while waiting:
        urn = waiting.pop()
        if urn not in seen:
            seen.add(urn)
            yield plan.by_urn[urn]
            waiting += plan.by_urn[urn].dependencies


@pytest.mark.parametrize("region", REGIONS)
def test_the_pods_of_every_region_come_after_the_migrations_of_every_shard(plan_of: PlanOf, region: str) -> None:
    plan = plan_of("prod")
    before = {one.name for one in _before(plan, _named(plan, f"{region}-deployment-hal9-hal9-server"))}
    jobs = {one.name for one in plan.resources if one.type == "kubernetes:batch/v1:Job"}
    assert len(jobs) == 3
    assert jobs <= before


def test_a_migration_runs_in_its_shards_home_alone(plan_of: PlanOf) -> None:
    plan = plan_of("prod")
    jobs = sorted(one.name for one in plan.resources if one.type == "kubernetes:batch/v1:Job")
    assert [name.split("-job-")[0] for name in jobs] == ["ap-south", "eu-central", "us-west"]


@pytest.mark.parametrize("region", REGIONS)
def test_a_route_comes_after_its_subsets_and_both_after_istiod(plan_of: PlanOf, region: str) -> None:
    plan = plan_of("prod")
    before = {one.name for one in _before(plan, _named(plan, f"{region}-virtualservice-hal9-hal9-server"))}
    assert {f"{region}-destinationrule-hal9-hal9-server", f"{region}-istiod", f"{region}-istio-base"} <= before


@pytest.mark.parametrize("region", REGIONS)
def test_pods_that_need_a_role_come_after_its_association(plan_of: PlanOf, region: str) -> None:
    plan = plan_of("prod")
    for name in (
        f"{region}-deployment-hal9-hal9-server",
        f"{region}-cluster-autoscaler",
        f"{region}-kube-prometheus-stack",
    ):
        types = [one.type for one in _before(plan, _named(plan, name))]
        assert "aws:eks/podIdentityAssociation:PodIdentityAssociation" in types


def test_a_clusters_objects_are_made_by_its_own_provider(plan_of: PlanOf) -> None:
    plan = plan_of("prod")
    for one in plan.resources:
        if one.package == "kubernetes" and one.custom and not one.type.startswith("pulumi:providers"):
            region = next(name for name in REGIONS if one.name.startswith(f"{name}-"))
            assert plan.by_urn[one.provider].name == f"{region}-cluster"


def test_one_region_has_neither_an_east_west_gateway_nor_peers(plan_of: PlanOf) -> None:
    names = {one.name for one in plan_of("dev").resources}
    assert not {name for name in names if "eastwest" in name or "workloadentry" in name}
    assert "us-west-targetgroupbinding-hal9-gateway-gateway" in names
    assert "us-west-targetgroupbinding-hal9-gateway-peers" not in names


def test_what_serves_is_changed_in_one_region_after_another(plan_of: PlanOf) -> None:
    """All at once, a change that does not work is the end of every region."""
    plan = plan_of("prod")
    for earlier, later in itertools.pairwise(REGIONS):
        for name in ("deployment-hal9-hal9-server", "deployment-hal9-gateway-hal9-gateway", "istio-eastwest"):
            before = {one.name for one in _before(plan, _named(plan, f"{later}-{name}"))}
            assert f"{earlier}-{name}" in before


@pytest.mark.parametrize("region", REGIONS)
def test_nginx_pods_come_after_the_bindings_that_their_readiness_gate_is_made_from(
    plan_of: PlanOf, region: str
) -> None:
    plan = plan_of("prod")
    before = {one.name for one in _before(plan, _named(plan, f"{region}-deployment-hal9-gateway-hal9-gateway"))}
    assert {f"{region}-targetgroupbinding-hal9-gateway-{name}" for name in ("gateway", "peers")} <= before


@pytest.mark.parametrize("region", REGIONS)
def test_a_pod_behind_a_load_balancer_is_ready_when_it_is_its_target(plan_of: PlanOf, region: str) -> None:
    plan = plan_of("prod")
    gated = set()
    for one in plan.resources:
        if one.kind == "Namespace" and one.name.startswith(f"{region}-"):
            labels = one.inputs["metadata"]["labels"]
            if labels.get("elbv2.k8s.aws/pod-readiness-gate-inject") == "enabled":
                gated.add(one.inputs["metadata"]["name"])
    bound = {
        one.inputs["metadata"]["namespace"]
        for one in plan.resources
        if one.kind == "TargetGroupBinding" and one.name.startswith(f"{region}-")
    }
    assert gated == bound == {"hal9-gateway", "istio-eastwest"}


@pytest.mark.parametrize("region", REGIONS)
def test_prometheus_comes_after_the_class_of_its_disk(plan_of: PlanOf, region: str) -> None:
    plan = plan_of("prod")
    before = {one.name for one in _before(plan, _named(plan, f"{region}-kube-prometheus-stack"))}
    assert f"{region}-storageclass-hal9-gp3" in before


def test_a_rollout_and_a_migration_may_take_as_long_as_they_take(plan_of: PlanOf) -> None:
    """The provider's own 10 minutes are fewer than three pods behind a load balancer need, or a migration may."""
    plan = plan_of("prod")
    nginx = _named(plan, "us-west-deployment-hal9-gateway-hal9-gateway")
    assert nginx.custom_timeouts["create"] == nginx.custom_timeouts["update"] == "30m"
    job = next(one for one in plan.resources if one.kind == "Job")
    assert job.custom_timeouts["create"] == "20m"
    assert job.inputs["spec"]["activeDeadlineSeconds"] < 20 * 60
    assert job.inputs["metadata"]["annotations"]["pulumi.com/replaceUnready"] == "true"
