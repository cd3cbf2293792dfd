"""One region's cell: all that a region has of its own."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from components.alarms import RegionAlarms
from components.cluster import RegionCluster
from components.database import RegionDatabase
from components.domain import Domain
from components.keys import RegionKeys
from components.load_balancers import RegionLoadBalancers
from components.network import RegionNetwork
from components.pod_roles import PodRoles
from components.redis import RegionRedis
from components.registry import RegionRegistry
from components.secrets import Vault
from topology import catalog
from topology.settings import Region
from topology.topology import Topology


def aws_provider(name: str, aws_region: str, topology: Topology) -> aws.Provider:
    """The provider of one AWS region: it refuses any account but the stack file's, and tags whatever is not tagged.

    Whose account it is, it asks of the region that the edge's control plane is in: with its own region gone it could
    not even be configured, and `up` would stop for every other.
    """
    return aws.Provider(
        name,
        region=aws_region,
        sts_region=catalog.GLOBAL_AWS_REGION,
        allowed_account_ids=[topology.account_id],
        default_tags=aws.ProviderDefaultTagsArgs(tags=topology.names.tags("none", name)),
    )


class RegionCell(pulumi.ComponentResource):
    """One region: keys, network, cluster, roles, registry, load
    balancers, and the ground its databases and Redis stand on.

    Everything in it is made by its own provider and parented to it, so that `--target` can build one region at a time
    and a reader finds a region's resources below one name.
    """

    def __init__(self, region: Region, topology: Topology, domain: Domain) -> None:
        self.region = region
        self.provider = aws_provider(region.name, region.aws_region, topology)
        super().__init__("hal9:region:RegionCell", region.name, {}, pulumi.ResourceOptions(providers=[self.provider]))
        child = pulumi.ResourceOptions(parent=self)
        self.keys = RegionKeys(region.name, region.aws_region, topology, opts=child)
        self.vault = Vault(self.provider, self.keys)
        self.alarms = RegionAlarms(region, topology, self.keys, child)
        self.network = RegionNetwork(region, topology, self.keys, child)
        self.registry = RegionRegistry(region, topology, self.keys, child)
        self.cluster = RegionCluster(region, topology, self.network, self.keys, child)
        self.pod_roles = PodRoles(region, topology, self.cluster, self.keys, child)
        self.load_balancers = RegionLoadBalancers(
            region, topology, self.network, self.cluster, domain, self.alarms, child
        )
        self.database = RegionDatabase(region, topology, self.network, child)
        self.redis = RegionRedis(region, topology, self.network, self.keys, child)
        self.register_outputs({"vpc_id": self.network.vpc_id, "cluster": self.cluster.name})
