"""One cluster's node groups: on-demand nodes that hold the minimum, and spot nodes above them."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from components.iam import service_trust
from components.keys import RegionKeys
from components.network import RegionNetwork
from topology import catalog
from topology.addressing import Tier
from topology.naming import CAPACITY_LABEL, SPOT_TAINT
from topology.settings import Region
from topology.topology import Topology

_POLICIES = ("AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly")
_AMI = {"amd64": "AL2023_x86_64_STANDARD", "arm64": "AL2023_ARM_64_STANDARD"}


def spread(nodes: int, zones: int) -> list[int]:
    """`nodes` over `zones` as evenly as it goes, the first zones one more."""
    share, rest = divmod(nodes, zones)
    return [share + (place < rest) for place in range(zones)]


class NodeGroups(pulumi.ComponentResource):
    """The on-demand groups that hold minReplicas, and the tainted
    spot groups of five or more types: one of each a zone.

    Nodes take instance metadata by IMDSv2 with one hop, so pods cannot reach their node's role; disks are encrypted
    under the cluster's key. Cluster-autoscaler owns the desired size, so the program ignores it; EKS itself tags the
    groups with what cluster-autoscaler finds them by.

    Inputs: the security group of nodes and pods; `before`, the add-ons that must stand when the first node comes.
    """

    def __init__(
        self,
        region: Region,
        topology: Topology,
        cluster_name: pulumi.Output[str],
        security_group_id: pulumi.Output[str],
        network: RegionNetwork,
        keys: RegionKeys,
        before: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:nodes:NodeGroups", f"{region.name}-nodes", {}, opts)
        self._region, self._topology, self._keys = region, topology, keys
        self._cluster_name, self._security_group_id, self._network = cluster_name, security_group_id, network
        self._child = pulumi.ResourceOptions(parent=self)
        names, nodes = topology.names, topology.cluster
        self._tags = names.tags("nodes", region.name)
        role = aws.iam.Role(
            f"{region.name}-node",
            name=names.of(region.name, "node"),
            assume_role_policy=service_trust("ec2.amazonaws.com"),
            tags=self._tags,
            opts=self._child,
        )
        attached = [
            aws.iam.RolePolicyAttachment(
                f"{region.name}-node-{policy}",
                role=role.name,
                policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=self._child,
            )
            for policy in _POLICIES
        ]
        after = [*before, *attached]
        self.on_demand = self._groups(
            "on-demand",
            role,
            topology.on_demand_types(region),
            (nodes.on_demand.min_nodes, nodes.on_demand.max_nodes),
            after,
        )
        self.spot = self._groups(
            "spot", role, topology.spot_types(region), (nodes.spot.min_nodes, nodes.spot.max_nodes), after
        )
        self.register_outputs(
            {"on_demand": [group.id for group in self.on_demand], "spot": [group.id for group in self.spot]}
        )

    def _groups(
        self,
        capacity: str,
        role: aws.iam.Role,
        types: Sequence[str],
        bounds: tuple[int, int],
        after: Sequence[pulumi.Resource],
    ) -> list[aws.eks.NodeGroup]:
        """A group in each zone: a disk's zone keeps its nodes, and a change that replaces nodes takes a zone at a time.

        They have no names of their own, so that a group which cannot be changed in place is made anew before it goes.
        """
        template, zones = self._template(capacity), self._region.zones_in_order
        subnets = dict(zip(zones, self._network.subnet_ids[Tier.PRIVATE], strict=True))
        lows, highs = (spread(bound, len(zones)) for bound in bounds)
        return [
            self._group(capacity, zone, subnets[zone], template, role, types, (low, high), after)
            for zone, low, high in zip(zones, lows, highs, strict=True)
            if high
        ]

    def _group(
        self,
        capacity: str,
        zone: str,
        subnet_id: pulumi.Output[str],
        template: aws.ec2.LaunchTemplate,
        role: aws.iam.Role,
        types: Sequence[str],
        bounds: tuple[int, int],
        after: Sequence[pulumi.Resource],
    ) -> aws.eks.NodeGroup:
        low, high = bounds
        size = catalog.instance_size(types[0])
        assert size is not None, "the stack file's rules know every type"
        spot = capacity == "spot"
        taint = aws.eks.NodeGroupTaintArgs(key=SPOT_TAINT[0], value=SPOT_TAINT[1], effect="NO_SCHEDULE")
        return aws.eks.NodeGroup(
            f"{self._region.name}-{capacity}-{zone[-1]}",
            cluster_name=self._cluster_name,
            node_role_arn=role.arn,
            subnet_ids=[subnet_id],
            version=self._topology.cluster.version,
            release_version=self._region.node_release or self._topology.cluster.node_release,
            ami_type=_AMI[size.architecture],
            capacity_type="SPOT" if spot else "ON_DEMAND",
            instance_types=list(types),
            scaling_config=aws.eks.NodeGroupScalingConfigArgs(min_size=low, max_size=high, desired_size=low),
            update_config=aws.eks.NodeGroupUpdateConfigArgs(max_unavailable_percentage=33),
            node_repair_config=aws.eks.NodeGroupNodeRepairConfigArgs(enabled=True),
            labels={CAPACITY_LABEL: capacity},
            taints=[taint] if spot else None,
            launch_template=aws.eks.NodeGroupLaunchTemplateArgs(
                id=template.id, version=template.latest_version.apply(str)
            ),
            tags=self._tags,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=list(after), ignore_changes=["scalingConfig.desiredSize"]
            ),
        )

    def _template(self, capacity: str) -> aws.ec2.LaunchTemplate:
        name, names = f"{self._region.name}-{capacity}", self._topology.names
        tags = {**self._tags, "Name": names.of(self._region.name, capacity)}
        return aws.ec2.LaunchTemplate(
            name,
            name=names.of(self._region.name, capacity),
            update_default_version=True,
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            block_device_mappings=[
                aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        volume_size=self._topology.cluster.disk_gib,
                        volume_type="gp3",
                        encrypted="true",
                        kms_key_id=self._keys.arns["cluster"],
                        delete_on_termination="true",
                    ),
                )
            ],
            vpc_security_group_ids=[self._security_group_id],
            monitoring=aws.ec2.LaunchTemplateMonitoringArgs(enabled=True),
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=what, tags=tags)
                for what in ("instance", "volume", "network-interface")
            ],
            tags=tags,
            opts=self._child,
        )
