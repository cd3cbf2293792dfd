"""What each workload in a cluster may do in AWS: one role each, by Pod Identity, for its own resources alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.cluster import RegionCluster
from components.iam import PodRole, policy, statement
from components.keys import RegionKeys
from topology.settings import Region
from topology.topology import Topology


@dataclass(frozen=True)
class Workload:
    """A service account: the namespace it is in and its name."""

    namespace: str
    service_account: str


WORKLOADS = {
    "server": Workload("hal9", "hal9-server"),
    "migrate": Workload("hal9", "hal9-migrate"),
    "operations": Workload("hal9", "hal9-operations"),
    "gateway": Workload("hal9-gateway", "hal9-gateway"),
    "cluster-autoscaler": Workload("kube-system", "cluster-autoscaler"),
    "load-balancer-controller": Workload("kube-system", "aws-load-balancer-controller"),
    "alertmanager": Workload("monitoring", "alertmanager"),
}
GATEWAY_SECRETS = ("origin-verify", "gateway-tls")
"""Secrets that nginx reads, and `hal9-server` does not need."""
KINDS = {
    "server": ("shard", "cache", "sessions", "session-key"),
    "migrate": ("owner", "admin"),
    "operations": ("owner",),
}
"""What each of the app's accounts reads, by the beginning
of a secret's name: a new shard's secrets change no policy.
"""


class PodRoles(pulumi.ComponentResource):
    """The roles of `hal9-server` and its commands, nginx, cluster-autoscaler,
    the load balancer controller and Alertmanager in one cluster.

    A role reads secrets of its own region by name, never another stack's, and decrypts them by way of Secrets Manager
    alone. The controllers may change what carries this cluster's tag, and only look at the rest.

    Outputs: arns by workload; `ready` by workload, what pods that need the role depend on.
    """

    def __init__(
        self,
        region: Region,
        topology: Topology,
        cluster: RegionCluster,
        keys: RegionKeys,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:pod_roles:PodRoles", f"{region.name}-pod-roles", {}, opts)
        names, aws_region = topology.names, region.aws_region
        secrets = f"arn:aws:secretsmanager:{aws_region}:{topology.account_id}:secret:"
        gateway = [f"{secrets}{names.secret(name)}-*" for name in GATEWAY_SECRETS]
        policies: Mapping[str, pulumi.Input[str]] = {
            **{
                name: _reading([f"{secrets}{names.secret(f'{kind}-*')}" for kind in kinds], keys, aws_region)
                for name, kinds in KINDS.items()
            },
            "gateway": _reading(gateway, keys, aws_region),
            "cluster-autoscaler": _scales(region, topology, cluster.physical_name),
            "load-balancer-controller": _registers(region, topology),
            "alertmanager": keys.arns["telemetry"].apply(lambda key: _publishes(region, topology, key)),
        }
        self.roles = {
            name: PodRole(
                f"{region.name}-{name}",
                physical_name=names.of(region.name, name),
                cluster_name=cluster.name,
                namespace=workload.namespace,
                service_account=workload.service_account,
                tags=names.tags("pod-roles", region.name),
                policy=policies[name],
                opts=pulumi.ResourceOptions(parent=self),
            )
            for name, workload in WORKLOADS.items()
        }
        self.arns = {name: role.arn for name, role in self.roles.items()}
        self.ready = {name: role.ready for name, role in self.roles.items()}
        self.register_outputs({"arns": self.arns})


def _reading(secrets: list[str], keys: RegionKeys, aws_region: str) -> pulumi.Output[str]:
    return keys.arns["secrets"].apply(lambda key: _reads(secrets, key, aws_region))


def _reads(secrets: list[str], key: str, aws_region: str) -> str:
    """Reads these secrets, and decrypts them by way of Secrets Manager alone."""
    through = {"kms:ViaService": f"secretsmanager.{aws_region}.amazonaws.com"}
    return policy(
        statement(["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"], secrets),
        statement(["kms:Decrypt"], [key], StringEquals=through),
    )


def _scales(region: Region, topology: Topology, cluster_name: str) -> str:
    """Looks at every group, as the API has no narrower way, and resizes those of this cluster."""
    account, owned = topology.account_id, f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster_name}"
    groups = f"arn:aws:autoscaling:{region.aws_region}:{account}:autoScalingGroup:*:autoScalingGroupName/eks-*"
    looks = [
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeLaunchConfigurations",
        "autoscaling:DescribeScalingActivities",
        "autoscaling:DescribeTags",
        "ec2:DescribeImages",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:GetInstanceTypesFromInstanceRequirements",
    ]
    node_groups = f"arn:aws:eks:{region.aws_region}:{account}:nodegroup/{cluster_name}/*"
    resizes = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    return policy(
        statement(looks, ["*"]),
        statement(["eks:DescribeNodegroup"], [node_groups]),
        statement(resizes, [groups], StringEquals={owned: "owned"}),
    )


def _registers(region: Region, topology: Topology) -> str:
    """Registers pods in this stack's target groups; the load balancers themselves are Pulumi's."""
    account, stack = topology.account_id, topology.names.of()
    groups = f"arn:aws:elasticloadbalancing:{region.aws_region}:{account}:targetgroup/{stack}-*"
    looks = [
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeInstances",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
    ]
    registers = ["elasticloadbalancing:RegisterTargets", "elasticloadbalancing:DeregisterTargets"]
    return policy(statement(looks, ["*"]), statement(registers, [f"{groups}"]))


def _publishes(region: Region, topology: Topology, key: str) -> str:
    """Sends to the region's topics of alarms and of the heartbeat, which are encrypted."""
    topics = [
        f"arn:aws:sns:{region.aws_region}:{topology.account_id}:{topology.names.of(region.name, topic)}"
        for topic in ("alarms", "heartbeat")
    ]
    through = {"kms:ViaService": f"sns.{region.aws_region}.amazonaws.com"}
    return policy(
        statement(["sns:Publish"], topics),
        statement(["kms:GenerateDataKey", "kms:Decrypt"], [key], StringEquals=through),
    )
