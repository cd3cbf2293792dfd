"""One region's image registry."""

from __future__ import annotations

import json

import pulumi
import pulumi_aws as aws

from components.keys import RegionKeys
from topology.settings import Region
from topology.topology import Topology

_KEEP = 50


class RegionRegistry(pulumi.ComponentResource):
    """One region's repository of `hal9-server` images, and its replication to the regions before it.

    Tags are immutable, images are scanned when pushed and encrypted under the region's key. `make image` pushes to the
    last region; each region replicates to those before it, so that one push reaches all, a region's pods pull from
    their own region, and adding a region only creates. (A registry has one replication configuration, and an image that
    arrived by replication is not replicated on.)

    Outputs: url, the repository without tag or digest.
    """

    def __init__(
        self, region: Region, topology: Topology, keys: RegionKeys, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hal9:registry:RegionRegistry", f"{region.name}-registry", {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        repository = aws.ecr.Repository(
            region.name,
            name=topology.repository,
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration=aws.ecr.RepositoryImageScanningConfigurationArgs(scan_on_push=True),
            encryption_configurations=[
                aws.ecr.RepositoryEncryptionConfigurationArgs(encryption_type="KMS", kms_key=keys.arns["cluster"])
            ],
            force_delete=not topology.protect,
            tags=topology.names.tags("registry", region.name),
            opts=pulumi.ResourceOptions(parent=self, protect=topology.protect),
        )
        keep = {
            "rulePriority": 1,
            "description": f"the last {_KEEP} images, enough to roll back",
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": _KEEP},
            "action": {"type": "expire"},
        }
        aws.ecr.LifecyclePolicy(
            region.name, repository=repository.name, policy=json.dumps({"rules": [keep]}), opts=child
        )
        regions = topology.ordered_regions
        before = regions[: regions.index(region)]
        if before:
            destination = aws.ecr.ReplicationConfigurationReplicationConfigurationRuleDestinationArgs
            aws.ecr.ReplicationConfiguration(
                region.name,
                replication_configuration=aws.ecr.ReplicationConfigurationReplicationConfigurationArgs(
                    rules=[
                        aws.ecr.ReplicationConfigurationReplicationConfigurationRuleArgs(
                            destinations=[
                                destination(region=other.aws_region, registry_id=topology.account_id)
                                for other in before
                            ],
                            repository_filters=[
                                aws.ecr.ReplicationConfigurationReplicationConfigurationRuleRepositoryFilterArgs(
                                    filter=topology.repository, filter_type="PREFIX_MATCH"
                                )
                            ],
                        )
                    ]
                ),
                opts=child,
            )
        self.url = repository.repository_url
        self.register_outputs({"url": self.url})
