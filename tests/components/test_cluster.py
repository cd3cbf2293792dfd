"""One region's cluster, its nodes and add-ons (controls 7, 8, 15, 16)."""

from __future__ import annotations

import functools
from typing import Any

import pulumi
import pytest

from components.cluster import LOGS, RegionCluster
from components.pod_roles import WORKLOADS, PodRoles
from tests.components.mocked import Built, Cell, Registered, build, document
from tests.stackfiles import Edit, put, topology
from topology import catalog


def built(stack: str, *edits: Edit, preview: bool = False) -> Built:
    def make() -> Any:
        parsed = topology(stack, *edits)
        region = parsed.regions["us-west"]
        cell = Cell(region, parsed)
        opts = pulumi.ResourceOptions(providers=[cell.provider])
        cluster = RegionCluster(region, parsed, cell.network, cell.keys, opts)
        roles = PodRoles(region, parsed, cluster, cell.keys, opts)
        return {"kubeconfig": cluster.kubeconfig_command, "group": cluster.security_group_id, "roles": roles.arns}

    return build(make, stack=stack, preview=preview)


@functools.cache
def cluster(stack: str = "prod", preview: bool = False) -> Built:
    return built(stack, preview=preview)


def group(found: Built, capacity: str, zone: str = "a") -> Registered:
    return found.one("NodeGroup", f"us-west-{capacity}-{zone}")


def groups(found: Built, capacity: str) -> list[Registered]:
    return [g for g in found.of("NodeGroup") if g.name.startswith(f"us-west-{capacity}-")]


def above(found: Built, resource: Registered) -> set[str]:
    """Names and kinds of what a resource waits for, directly or not."""
    seen: set[str] = set()
    todo = list(resource.dependencies)
    while todo:
        urn = todo.pop()
        if urn not in seen:
            seen.add(urn)
            todo += found.by_urn(urn).dependencies
    return {f"{found.by_urn(urn).kind} {found.by_urn(urn).name}" for urn in seen}


def test_the_endpoint_is_private() -> None:
    access = cluster().one("Cluster").inputs["vpcConfig"]
    assert (access["endpointPrivateAccess"], access["endpointPublicAccess"]) == (True, False)
    assert "publicAccessCidrs" not in access


def test_the_endpoint_is_public_to_the_listed_addresses_alone() -> None:
    access = built("prod", put("cluster.publicAccessCidrs", ["198.51.100.0/24"])).one("Cluster").inputs["vpcConfig"]
    assert (access["endpointPrivateAccess"], access["endpointPublicAccess"]) == (True, True)
    assert access["publicAccessCidrs"] == ["198.51.100.0/24"]


def test_all_five_logs_are_kept_in_a_group_that_is_made_first() -> None:
    found = cluster()
    control_plane = found.one("Cluster")
    assert control_plane.inputs["enabledClusterLogTypes"] == list(LOGS)
    assert set(LOGS) == {"api", "audit", "authenticator", "controllerManager", "scheduler"}
    logs = found.one("LogGroup", "us-west-control-plane")
    assert logs.inputs["name"] == f"/aws/eks/{control_plane.inputs['name']}/cluster"
    assert logs.urn in control_plane.dependencies


def test_kubernetes_secrets_are_encrypted_under_the_regions_key() -> None:
    encryption = cluster().one("Cluster").inputs["encryptionConfig"]
    assert (encryption["provider"]["keyArn"], encryption["resources"]) == ("arn:Key:us-west-cluster", ["secrets"])


def test_access_is_by_entries_alone() -> None:
    found = cluster()
    config = found.one("Cluster").inputs["accessConfig"]
    assert (config["authenticationMode"], config["bootstrapClusterCreatorAdminPermissions"]) == ("API", False)
    assert [e.inputs["principalArn"] for e in found.of("AccessEntry")] == [
        "arn:aws:iam::123456789012:role/hal9-deployer"
    ]
    assert [a.inputs["principalArn"] for a in found.of("AccessPolicyAssociation")] == [
        "arn:aws:iam::123456789012:role/hal9-deployer"
    ]


def test_the_version_is_the_stack_files() -> None:
    found = built("prod", put("cluster.version", "1.34"), put("charts.clusterAutoscaler", "9.53.0"))
    assert found.one("Cluster").inputs["version"] == "1.34"
    assert {g.inputs["version"] for g in found.of("NodeGroup")} == {"1.34"}


def test_on_demand_nodes_hold_the_minimum_over_the_zones() -> None:
    on_demand = [g.inputs for g in groups(cluster(), "on-demand")]
    assert {g["capacityType"] for g in on_demand} == {"ON_DEMAND"}
    bounds = [(s["minSize"], s["maxSize"], s["desiredSize"]) for s in (g["scalingConfig"] for g in on_demand)]
    assert bounds == [(2, 3, 2), (1, 3, 1), (1, 2, 1)]
    assert not any("taints" in g for g in on_demand)


def test_fewer_nodes_than_zones_are_fewer_groups() -> None:
    """EKS takes no group of at most no nodes."""
    found = built("prod", put("cluster.spot.maxNodes", 2))
    assert [g.inputs["scalingConfig"]["maxSize"] for g in groups(found, "spot")] == [1, 1]


def test_nodes_that_must_be_replaced_come_before_the_old_ones_go() -> None:
    """B1: a group with a name of ours is deleted first, as no second
    may have the name: every region was emptied at once.
    """
    for found in cluster().of("NodeGroup"):
        assert not {"nodeGroupName", "nodeGroupNamePrefix"} & found.inputs.keys()


def test_on_demand_nodes_have_other_types_to_fall_back_on() -> None:
    """B1: one type that cannot be had is no reason for an `up`."""
    for found in groups(cluster(), "on-demand"):
        assert found.inputs["instanceTypes"][0] == "m6i.2xlarge"
        assert len(found.inputs["instanceTypes"]) >= 3


def test_a_region_can_have_types_and_an_image_of_its_own() -> None:
    """B1, B5: so that a change goes through one region after the other."""
    found = built(
        "prod",
        put("regions.us-west.onDemandInstanceTypes", ["m7i.2xlarge", "m6i.2xlarge"]),
        put(
            "regions.us-west.spotInstanceTypes",
            ["m6a.2xlarge", "m5.2xlarge", "m5a.2xlarge", "m7i.2xlarge", "m7a.2xlarge"],
        ),
        put("regions.us-west.nodeRelease", "1.35.2-20261101"),
        put("cluster.nodeRelease", "1.35.0-20260120"),
    )
    assert {tuple(g.inputs["instanceTypes"]) for g in groups(found, "on-demand")} == {("m7i.2xlarge", "m6i.2xlarge")}
    assert {g.inputs["instanceTypes"][0] for g in groups(found, "spot")} == {"m6a.2xlarge"}
    assert {g.inputs["releaseVersion"] for g in found.of("NodeGroup")} == {"1.35.2-20261101"}
    everywhere = built("prod", put("cluster.nodeRelease", "1.35.0-20260120"))
    assert {g.inputs["releaseVersion"] for g in everywhere.of("NodeGroup")} == {"1.35.0-20260120"}


def test_spot_nodes_are_diverse_tainted_and_labelled() -> None:
    spot = group(cluster(), "spot").inputs
    assert spot["capacityType"] == "SPOT"
    assert len(set(spot["instanceTypes"])) >= 5
    assert len({catalog.instance_size(name) for name in spot["instanceTypes"]}) == 1
    assert spot["taints"] == [{"effect": "NO_SCHEDULE", "key": "spot", "value": "true"}]
    assert spot["labels"] == {"hal9.ai/capacity": "spot"}


def test_each_group_stands_in_the_private_subnet_of_one_zone() -> None:
    """A4, B1: a disk is in one zone; a group over three may have no node there."""
    for capacity in ("on-demand", "spot"):
        assert {g.name[-1]: g.inputs["subnetIds"] for g in groups(cluster(), capacity)} == {
            zone: [f"us-west-private-us-west-2{zone}-id"] for zone in "abc"
        }


def test_the_desired_size_is_the_autoscalers() -> None:
    assert {g.ignore_changes for g in cluster().of("NodeGroup")} == {("scalingConfig.desiredSize",)}


def test_nodes_metadata_takes_imdsv2_with_one_hop() -> None:
    for template in cluster().of("LaunchTemplate"):
        options = template.inputs["metadataOptions"]
        assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)


def test_node_disks_are_encrypted_under_the_regions_key() -> None:
    for template in cluster().of("LaunchTemplate"):
        (disk,) = template.inputs["blockDeviceMappings"]
        assert disk["ebs"]["encrypted"] == "true"
        assert disk["ebs"]["kmsKeyId"] == "arn:Key:us-west-cluster"
        assert disk["ebs"]["volumeSize"] == 100


def test_a_node_group_takes_a_version_of_its_template_and_not_the_latest() -> None:
    """`$Latest` would differ from what is deployed for ever."""
    assert {g.inputs["launchTemplate"]["version"] for g in cluster().of("NodeGroup")} == {"1"}


def test_nodes_get_the_image_of_their_architecture() -> None:
    assert {g.inputs["amiType"] for g in cluster().of("NodeGroup")} == {"AL2023_x86_64_STANDARD"}


def test_nodes_wait_for_the_network_add_on_and_coredns_for_the_nodes() -> None:
    found = cluster()
    for capacity in ("on-demand", "spot"):
        assert "Addon us-west-vpc-cni" in above(found, group(found, capacity))
        assert "Addon us-west-coredns" not in above(found, group(found, capacity))
    assert "NodeGroup us-west-on-demand-a" in above(found, found.one("Addon", "us-west-coredns"))
    assert "NodeGroup us-west-on-demand-a" in above(found, found.one("Addon", "us-west-aws-ebs-csi-driver"))


def test_nodes_and_control_plane_share_one_group_that_takes_itself() -> None:
    """The load balancers' rules, which let nginx and the mesh be reached, come on top."""
    found = cluster()
    assert found.one("Cluster").inputs["vpcConfig"]["securityGroupIds"] == ["us-west-nodes-id"]
    assert {tuple(t.inputs["vpcSecurityGroupIds"]) for t in found.of("LaunchTemplate")} == {("us-west-nodes-id",)}
    rule = found.one("SecurityGroupIngressRule", "us-west-nodes-each-other")
    assert rule.inputs["referencedSecurityGroupId"] == "us-west-nodes-id"
    assert not {"cidrIpv4", "cidrIpv6", "prefixListId"} & rule.inputs.keys()


def test_operators_runners_and_the_other_regions_reach_the_kubernetes_api() -> None:
    """A3: the private endpoint answered nobody, not even a runner in the VPC."""
    found = built("prod", put("cluster.operatorCidrs", ["192.168.7.0/24"]))
    rules = [r.inputs for r in found.of("SecurityGroupIngressRule") if "cidrIpv4" in r.inputs]
    mine = [r for r in rules if r["securityGroupId"] == "us-west-nodes-id"]
    assert {(r["fromPort"], r["toPort"], r["ipProtocol"]) for r in mine} == {(443, 443, "tcp")}
    blocks = {str(block) for block in topology("prod").private_blocks.values()}
    assert {r["cidrIpv4"] for r in mine} == blocks | {"192.168.7.0/24"}


def test_nodes_wait_for_their_roles_policies() -> None:
    found = cluster()
    assert "RolePolicyAttachment us-west-node-AmazonEKSWorkerNodePolicy" in above(found, group(found, "spot"))


def test_every_add_on_is_pinned() -> None:
    versions = {a.inputs["addonName"]: a.inputs["addonVersion"] for a in cluster().of("Addon")}
    assert set(versions) == {"vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-ebs-csi-driver"}
    assert all(version.startswith("v") and "eksbuild" in version for version in versions.values())


def test_network_policies_are_enforced() -> None:
    settings = document(cluster().one("Addon", "us-west-vpc-cni").inputs["configurationValues"])
    assert settings["enableNetworkPolicy"] == "true"


@pytest.mark.parametrize(("stack", "kept"), [("prod", True), ("dev", False)])
def test_production_cannot_lose_a_cluster_by_mistake(stack: str, kept: bool) -> None:
    control_plane = cluster(stack).one("Cluster")
    assert (control_plane.protect, control_plane.inputs["deletionProtection"]) == (kept, kept)


# Roles of pods.


def test_each_workload_has_a_role_of_its_own_by_pod_identity() -> None:
    found = cluster()
    bound = {
        (p.inputs["namespace"], p.inputs["serviceAccount"]): p.inputs["roleArn"]
        for p in found.of("PodIdentityAssociation", below="us-west-pod-roles")
    }
    assert bound == {
        (workload.namespace, workload.service_account): f"arn:Role:us-west-{name}"
        for name, workload in WORKLOADS.items()
    }
    assert len(set(bound.values())) == len(WORKLOADS)


def test_a_pods_role_is_trusted_to_pod_identity_alone() -> None:
    for role in cluster().of("Role", below="us-west-pod-roles"):
        (statement,) = document(role.inputs["assumeRolePolicy"])["Statement"]
        assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}


def test_an_association_waits_for_what_the_role_may_do() -> None:
    found = cluster()
    for association in found.of("PodIdentityAssociation", below="us-west-pod-roles"):
        assert {found.by_urn(urn).kind for urn in association.dependencies} >= {"RolePolicy"}


def test_the_server_reads_its_own_stacks_secrets_and_decrypts_by_way_of_secrets_manager() -> None:
    policy = document(cluster().one("RolePolicy", "us-west-server").inputs["policy"])
    reads, decrypts = policy["Statement"]
    assert all(
        arn.startswith("arn:aws:secretsmanager:us-west-2:123456789012:secret:hal9/prod/") for arn in reads["Resource"]
    )
    assert decrypts["Resource"] == ["arn:Key:us-west-secrets"]
    assert decrypts["Condition"]["StringEquals"] == {"kms:ViaService": "secretsmanager.us-west-2.amazonaws.com"}


def test_alertmanager_may_publish_alarms_and_its_heartbeat_and_nothing_else() -> None:
    publishes, _ = document(cluster().one("RolePolicy", "us-west-alertmanager").inputs["policy"])["Statement"]
    assert publishes["Action"] == ["sns:Publish"]
    assert publishes["Resource"] == [
        f"arn:aws:sns:us-west-2:123456789012:hal9-prod-us-west-{topic}" for topic in ("alarms", "heartbeat")
    ]


def test_the_server_does_not_read_the_gateways_secrets() -> None:
    server = str(cluster().one("RolePolicy", "us-west-server").inputs["policy"])
    gateway = document(cluster().one("RolePolicy", "us-west-gateway").inputs["policy"])["Statement"][0]["Resource"]
    assert "origin-verify" not in server
    assert "gateway-tls" not in server
    assert [arn.rpartition("/")[2] for arn in gateway] == ["origin-verify-*", "gateway-tls-*"]


def test_no_role_may_do_everything_or_change_anything_anywhere() -> None:
    """What only looks (Describe, Get, List) may look everywhere, as its API has no narrower way."""
    for policy in cluster().of("RolePolicy"):
        for statement in document(policy.inputs["policy"])["Statement"]:
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            resources = [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
            assert not [action for action in actions if "*" in action]
            if "*" in resources:
                assert all(action.split(":")[1].startswith(("Describe", "Get", "List")) for action in actions), (
                    policy.name
                )


def test_cluster_autoscaler_resizes_this_clusters_groups_alone() -> None:
    resizes = document(cluster().one("RolePolicy", "us-west-cluster-autoscaler").inputs["policy"])["Statement"][-1]
    assert resizes["Condition"] == {
        "StringEquals": {"aws:ResourceTag/k8s.io/cluster-autoscaler/hal9-prod-us-west": "owned"}
    }


def test_it_exports_how_to_reach_the_cluster() -> None:
    assert cluster().value["kubeconfig"] == (
        "aws eks update-kubeconfig --region us-west-2 --name hal9-prod-us-west --alias hal9-prod-us-west"
    )


def test_nodes_and_the_control_plane_share_the_group_that_load_balancers_reach() -> None:
    found = cluster()
    shared = found.value["group"]
    assert found.one("Cluster").inputs["vpcConfig"]["securityGroupIds"] == [shared]
    for template in found.of("LaunchTemplate"):
        assert template.inputs["vpcSecurityGroupIds"] == [shared]
    rule = found.one("SecurityGroupIngressRule", "us-west-nodes-each-other").inputs
    assert (rule["securityGroupId"], rule["referencedSecurityGroupId"]) == (shared, shared)
