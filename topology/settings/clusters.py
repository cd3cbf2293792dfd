"""The clusters, their nodes, and the pinned add-ons and charts that each gets."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from topology.forms import Like
from topology.settings.base import Block, Positive, Settings

RoleArn = Annotated[
    str,
    AfterValidator(Like(r"arn:aws:iam::[0-9]{12}:role/\S+", "a role such as arn:aws:iam::123456789012:role/deployer")),
]


class OnDemandNodes(Settings):
    """The on-demand nodes of each region, a group in each zone. `min_nodes` must hold minReplicas pods."""

    instance_type: str = "m6i.2xlarge"
    other_instance_types: tuple[str, ...] | None = None
    """Types of the same size that are taken, in this order, where the first cannot be had. Default: the two that are most
    alike and sold in every region's zones."""
    min_nodes: Positive = 3
    max_nodes: Positive = 6


class SpotNodes(Settings):
    """The spot nodes of each region, a group in each zone: five or more types of one size."""

    instance_types: tuple[str, ...] = (
        "m6i.2xlarge",
        "m6a.2xlarge",
        "m5.2xlarge",
        "m5a.2xlarge",
        "m7i.2xlarge",
    )
    min_nodes: Annotated[int, Field(ge=0)] = 0
    max_nodes: Positive = 20


class AddOns(Settings):
    """Pinned EKS add-on versions; `aws eks describe-addon-versions --kubernetes-version` lists what a version takes."""

    vpc_cni: str = "v1.21.1-eksbuild.3"
    kube_proxy: str = "v1.35.0-eksbuild.2"
    coredns: str = "v1.13.2-eksbuild.1"
    pod_identity_agent: str = "v1.3.10-eksbuild.2"
    ebs_csi_driver: str = "v1.55.0-eksbuild.2"


class Cluster(Settings):
    """EKS in each region. The endpoint is private; `public_access_cidrs` opens it to the listed addresses."""

    version: Annotated[str, AfterValidator(Like(r"1\.[0-9]{2}", "a Kubernetes version such as 1.35"))] = "1.35"
    admin_role_arns: tuple[RoleArn, ...] = Field(min_length=1, examples=[["arn:aws:iam::123456789012:role/deployer"]])
    public_access_cidrs: tuple[Block, ...] = Field((), examples=[["172.16.0.0/16"]])
    operator_cidrs: tuple[Block, ...] = Field((), examples=[["172.16.0.0/16"]])
    """Private addresses that reach the endpoints beside the regions' own: a VPN's, a runner's in a VPC that is peered."""
    node_release: str | None = None
    """The nodes' image, such as 1.35.0-20260120: EKS moves no node by itself. Default: the newest when a group is made."""
    disk_gib: Positive = 100
    log_retention_days: Positive = 90
    on_demand: OnDemandNodes = OnDemandNodes()
    spot: SpotNodes = SpotNodes()
    add_ons: AddOns = AddOns()


class Charts(Settings):
    """Pinned versions of the Helm charts that every cluster gets.

    `cluster_autoscaler_app`: the version of cluster-autoscaler itself that its chart brings (`helm show chart` says it as
    `appVersion`); to be given for a chart that topology/catalog.py does not know.
    """

    istio: str = "1.31.4"
    metrics_server: str = "3.13.1"
    prometheus_stack: str = "77.11.1"
    prometheus_adapter: str = "4.14.1"
    cluster_autoscaler: str = "9.59.0"
    cluster_autoscaler_app: str | None = None
    load_balancer_controller: str = "3.2.2"
    secrets_store_driver: str = "1.5.3"
    secrets_store_provider: str = "2.2.0"
