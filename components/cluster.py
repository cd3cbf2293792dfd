"""One region's EKS cluster: control plane, access, add-ons. The nodes
are in nodes.py, workloads' roles in pod_roles.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from components import iam
from components.keys import RegionKeys
from components.network import ANYWHERE, RegionNetwork
from components.nodes import NodeGroups
from topology import addressing
from topology.addressing import Tier
from topology.settings import Region
from topology.topology import Topology

LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
_MANAGED = "arn:aws:iam::aws:policy"


class RegionCluster(pulumi.ComponentResource):
    """One region's EKS cluster with its node groups and pinned add-ons.

    The endpoint is private, reached from the regions' private subnets and `operatorCidrs`, and public only to the
    addresses that the stack file lists. All five logs are kept,
    Kubernetes secrets are encrypted under the region's own key, people and CI come in by access entries alone.
    The network add-on stands before the nodes, CoreDNS and the disk driver after them.

    Outputs: name, security_group_id (of nodes and pods), kubeconfig_command; `access`, the deployer's access policy,
    which every Kubernetes resource depends on; `ready`, the add-ons without which no pod runs.
    """

    def __init__(
        self,
        region: Region,
        topology: Topology,
        network: RegionNetwork,
        keys: RegionKeys,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:cluster:RegionCluster", f"{region.name}-cluster", {}, opts)
        self._region, self._topology, self._names = region, topology, topology.names
        self._child = pulumi.ResourceOptions(parent=self)
        self._settings = topology.cluster
        self.physical_name = self._names.of(region.name)
        self._tags = self._names.tags("cluster", region.name)
        self.security_group_id = self._security_group(network)
        self.cluster = self._control_plane(network, keys)
        self.name = self.cluster.name
        self.access = self._access()
        before = [self._network_add_on(), *(self._add_on(a) for a in ("kube-proxy", "eks-pod-identity-agent"))]
        self.nodes = NodeGroups(
            region,
            topology,
            self.name,
            self.security_group_id,
            network,
            keys,
            before,
            pulumi.ResourceOptions(parent=self),
        )
        self.ready = [self._add_on("coredns", after=self.nodes), self._disk_driver(keys)]
        self.kubeconfig_command = pulumi.Output.concat(
            "aws eks update-kubeconfig --region ", region.aws_region, " --name ", self.name, " --alias ", self.name
        )
        self.register_outputs(
            {
                "name": self.name,
                "security_group_id": self.security_group_id,
                "kubeconfig_command": self.kubeconfig_command,
            }
        )

    def _security_group(self, network: RegionNetwork) -> pulumi.Output[str]:
        """The group of nodes, pods and the control plane's own interfaces, which talk to each other freely.

        EKS would make one of its own, known only once the cluster stands; the load balancers' rules are about this one.
        """
        name = f"{self._region.name}-nodes"
        tags = {**self._tags, "Name": self._names.of(name)}
        group = aws.ec2.SecurityGroup(
            name,
            name=self._names.of(name),
            description="Nodes, pods and the control plane",
            vpc_id=network.vpc_id,
            tags=tags,
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{name}-each-other",
            security_group_id=group.id,
            description="Each other",
            referenced_security_group_id=group.id,
            ip_protocol="-1",
            tags=tags,
            opts=self._child,
        )
        reach = {f"{name}-api-from-{zone}": block for zone, block in self._topology.private_blocks.items()}
        reach |= {f"{name}-api-from-{block}": block for block in self._settings.operator_cidrs}
        for rule, block in reach.items():  # the control plane's own interfaces are in this group
            aws.vpc.SecurityGroupIngressRule(
                rule,
                security_group_id=group.id,
                description="The Kubernetes API, for operators, runners and the other regions",
                cidr_ipv4=str(block),
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                tags=tags,
                opts=self._child,
            )
        aws.vpc.SecurityGroupEgressRule(
            f"{name}-out",
            security_group_id=group.id,
            description="AWS, the other regions, images and the identity provider; pods are held by network policies",
            cidr_ipv4=ANYWHERE,
            ip_protocol="-1",
            tags=tags,
            opts=self._child,
        )
        return group.id

    def _control_plane(self, network: RegionNetwork, keys: RegionKeys) -> aws.eks.Cluster:
        name = self._region.name
        logs = aws.cloudwatch.LogGroup(
            f"{name}-control-plane",
            name=f"/aws/eks/{self.physical_name}/cluster",  # where EKS writes; made first, or EKS makes it unencrypted
            retention_in_days=self._settings.log_retention_days,
            kms_key_id=keys.arns["telemetry"],
            tags=self._tags,
            opts=self._child,
        )
        role = aws.iam.Role(
            f"{name}-control-plane",
            name=self._names.of(name, "control-plane"),
            assume_role_policy=iam.service_trust("eks.amazonaws.com", self._topology.account_id),
            tags=self._tags,
            opts=self._child,
        )
        attachment = aws.iam.RolePolicyAttachment(
            f"{name}-control-plane",
            role=role.name,
            policy_arn=f"{_MANAGED}/AmazonEKSClusterPolicy",
            opts=self._child,
        )
        public = [str(block) for block in self._settings.public_access_cidrs]
        return aws.eks.Cluster(
            name,
            name=self.physical_name,
            role_arn=role.arn,
            version=self._settings.version,
            vpc_config=aws.eks.ClusterVpcConfigArgs(
                subnet_ids=network.subnet_ids[Tier.PRIVATE],
                security_group_ids=[self.security_group_id],
                endpoint_private_access=True,
                endpoint_public_access=bool(public),
                public_access_cidrs=public or None,
            ),
            kubernetes_network_config=aws.eks.ClusterKubernetesNetworkConfigArgs(
                service_ipv4_cidr=str(addressing.SERVICES)  # said, so that no VPC's block decides it
            ),
            access_config=aws.eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
            ),
            encryption_config=aws.eks.ClusterEncryptionConfigArgs(
                provider=aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=keys.arns["cluster"]),
                resources=["secrets"],
            ),
            enabled_cluster_log_types=list(LOGS),
            bootstrap_self_managed_addons=False,
            deletion_protection=self._topology.protect,
            upgrade_policy=aws.eks.ClusterUpgradePolicyArgs(support_type="STANDARD"),
            zonal_shift_config=aws.eks.ClusterZonalShiftConfigArgs(enabled=True),
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, protect=self._topology.protect, depends_on=[attachment, logs]),
        )

    def _access(self) -> list[pulumi.Resource]:
        """An access entry for each administrator's role, the
        deployer's first; the policies are what others wait for.
        """
        policies: list[pulumi.Resource] = []
        for arn in self._settings.admin_role_arns:
            name = f"{self._region.name}-{arn.rpartition('/')[2]}"
            entry = aws.eks.AccessEntry(
                name, cluster_name=self.name, principal_arn=arn, type="STANDARD", tags=self._tags, opts=self._child
            )
            policies.append(
                aws.eks.AccessPolicyAssociation(
                    name,
                    cluster_name=self.name,
                    principal_arn=entry.principal_arn,
                    policy_arn=_ADMIN,
                    access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                    opts=self._child,
                )
            )
        return policies

    def _network_add_on(self) -> aws.eks.Addon:
        """The VPC CNI: its role is its own, so that a node's role
        cannot touch network interfaces; network policies on.
        """
        role = self._service_role("vpc-cni", "aws-node", "AmazonEKS_CNI_Policy")
        settings = {"enableNetworkPolicy": "true", "env": {"WARM_IP_TARGET": "5", "MINIMUM_IP_TARGET": "15"}}
        return self._add_on("vpc-cni", configuration=settings, after=role)

    def _disk_driver(self, keys: RegionKeys) -> aws.eks.Addon:
        """The EBS driver, for Prometheus' disk, with leave to use the cluster's key."""
        role = self._service_role(
            "ebs-csi", "ebs-csi-controller-sa", "service-role/AmazonEBSCSIDriverPolicy", key=keys.arns["cluster"]
        )
        return self._add_on("aws-ebs-csi-driver", after=[role, self.nodes])

    def _service_role(
        self, role: str, service_account: str, managed: str, key: pulumi.Output[str] | None = None
    ) -> iam.PodRole:
        use = ["kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:CreateGrant", "kms:DescribeKey"]
        return iam.PodRole(
            f"{self._region.name}-{role}",
            physical_name=self._names.of(self._region.name, role),
            cluster_name=self.name,
            namespace="kube-system",
            service_account=service_account,
            tags=self._tags,
            managed_policies=[f"{_MANAGED}/{managed}"],
            policy=None
            if key is None
            else key.apply(lambda arn: iam.policy({"Effect": "Allow", "Action": use, "Resource": arn})),
            opts=self._child,
        )

    def _add_on(
        self,
        add_on: str,
        configuration: Mapping[str, object] | None = None,
        after: pulumi.Resource | list[pulumi.Resource] | None = None,
    ) -> aws.eks.Addon:
        versions = self._settings.add_ons
        version = {
            "vpc-cni": versions.vpc_cni,
            "kube-proxy": self._settings.kube_proxy,
            "coredns": versions.coredns,
            "eks-pod-identity-agent": versions.pod_identity_agent,
            "aws-ebs-csi-driver": versions.ebs_csi_driver,
        }[add_on]
        return aws.eks.Addon(
            f"{self._region.name}-{add_on}",
            cluster_name=self.name,
            addon_name=add_on,
            addon_version=version,
            configuration_values=json.dumps(configuration) if configuration else None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
