"""The clusters, their nodes, and the pinned add-ons and charts that each gets."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from facts import kubernetes
from topology.forms import Like
from topology.settings.base import AS_NUMBER, Block, LogDays, Settings

RoleArn = Annotated[
    str,
    AfterValidator(Like(r"arn:aws:iam::[0-9]{12}:role/\S+", "a role such as arn:aws:iam::123456789012:role/deployer")),
]


MOST_NODES = 450
"""Nodes of a managed node group (EKS service quotas)."""
Nodes = Annotated[int, Field(ge=1, le=MOST_NODES), AS_NUMBER]
AddOnVersion = Annotated[
    str,
    AfterValidator(Like(r"v[0-9]+\.[0-9]+\.[0-9]+-eksbuild\.[0-9]+", "an add-on's version such as v1.21.1-eksbuild.3")),
]
ChartVersion = Annotated[
    str, AfterValidator(Like(r"v?[0-9]+\.[0-9]+\.[0-9]+([-+][\w.+-]+)?", "an exact version such as 1.31.4"))
]


def kubernetes_version(text: str) -> str:
    """A version that EKS has. ValueError with those that it has."""
    if text not in kubernetes.versions():
        raise ValueError(f"{text!r} is no Kubernetes version of EKS; there are {', '.join(kubernetes.versions())}")
    return text


class OnDemandNodes(Settings):
    """The on-demand nodes of each region, a group in each zone. `min_nodes` must hold minReplicas pods."""

    instance_type: str = "m6i.2xlarge"
    other_instance_types: tuple[str, ...] | None = None
    """Types of the same size that are taken, in this order, where the first cannot
    be had. Default: the two that are most alike and sold in every region's zones.
    """
    min_nodes: Nodes = 3
    max_nodes: Nodes = 6


class SpotNodes(Settings):
    """The spot nodes of each region, a group in each zone: five or more types of one size."""

    instance_types: tuple[str, ...] = (
        "m6i.2xlarge",
        "m6a.2xlarge",
        "m5.2xlarge",
        "m5a.2xlarge",
        "m7i.2xlarge",
    )
    min_nodes: Annotated[int, Field(ge=0, le=MOST_NODES), AS_NUMBER] = 0
    max_nodes: Nodes = 20


class AddOns(Settings):
    """Pinned EKS add-on versions; `aws eks describe-addon-versions --kubernetes-version` lists what a version takes."""

    vpc_cni: AddOnVersion = "v1.21.1-eksbuild.3"
    kube_proxy: AddOnVersion | None = None
    """Default: the one of `Cluster.version`."""
    coredns: AddOnVersion = "v1.13.2-eksbuild.1"
    pod_identity_agent: AddOnVersion = "v1.3.10-eksbuild.2"
    ebs_csi_driver: AddOnVersion = "v1.55.0-eksbuild.2"


class Cluster(Settings):
    """EKS in each region. The endpoint is private; `public_access_cidrs` opens it to the listed addresses."""

    version: Annotated[str, AfterValidator(kubernetes_version)] = "1.35"
    admin_role_arns: tuple[RoleArn, ...] = Field(min_length=1, examples=[["arn:aws:iam::123456789012:role/deployer"]])
    public_access_cidrs: tuple[Block, ...] = Field((), examples=[["172.16.0.0/16"]])
    operator_cidrs: tuple[Block, ...] = Field((), examples=[["172.16.0.0/16"]])
    """Private addresses that reach the endpoints beside the
    regions' own: a VPN's, a runner's in a VPC that is peered.
    """
    node_release: str | None = None
    """The nodes' image, such as 1.35.0-20260120: EKS moves no
    node by itself. Default: the newest when a group is made.
    """
    disk_gib: Annotated[int, Field(ge=20, le=16_384), AS_NUMBER] = 100
    """Amazon Linux 2023 for EKS asks for 20 GiB at the least, EBS gives 16 TiB at the most."""
    log_retention_days: LogDays = 90
    on_demand: OnDemandNodes = OnDemandNodes()
    spot: SpotNodes = SpotNodes()
    add_ons: AddOns = AddOns()

    @property
    def kube_proxy(self) -> str:
        """kube-proxy of the cluster's own minor version: the one that is
        set, a known one, or the first patch's, which EKS has of each.
        """
        known = kubernetes.add_on_versions(self.version, "kube-proxy")
        return self.add_ons.kube_proxy or (known[-1] if known else f"v{self.version}.0-eksbuild.2")


class Charts(Settings):
    """Pinned versions of the Helm charts that every cluster gets.

    `cluster_autoscaler_app`: the version of cluster-autoscaler itself that its chart brings (`helm show chart` says it
    as `appVersion`); to be given for a chart that topology/catalog.py does not know.
    """

    istio: ChartVersion = "1.31.4"
    metrics_server: ChartVersion = "3.13.1"
    prometheus_stack: ChartVersion = "77.11.1"
    prometheus_adapter: ChartVersion = "4.14.1"
    cluster_autoscaler: ChartVersion = "9.59.0"
    cluster_autoscaler_app: ChartVersion | None = None
    load_balancer_controller: ChartVersion = "3.2.2"
    secrets_store_driver: ChartVersion = "1.5.3"
    secrets_store_provider: ChartVersion = "2.2.0"
