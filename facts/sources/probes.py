"""What `facts/sources/provider.py` asks of AWS's provider: standing resources, and another value for each input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Probe:
    """A Terraform type, the Pulumi type that wraps it, a standing resource, and another value for each input."""

    terraform: str
    pulumi: str
    stands: dict[str, Any]
    becomes: dict[str, Any]


PROBES = (
    Probe(
        "aws_eks_node_group",
        "aws:eks/nodeGroup:NodeGroup",
        {
            "cluster_name": "one",
            "node_group_name": "one",
            "node_role_arn": "arn:aws:iam::123456789012:role/node",
            "subnet_ids": ["subnet-1"],
            "ami_type": "AL2023_x86_64_STANDARD",
            "capacity_type": "ON_DEMAND",
            "instance_types": ["m6i.large"],
            "version": "1.34",
            "release_version": "1.34.0-20260101",
            "disk_size": 50,
            "labels": {"a": "b"},
            "scaling_config": [{"desired_size": 1, "max_size": 2, "min_size": 1}],
        },
        {
            "cluster_name": "two",
            "node_group_name": "two",
            "node_role_arn": "arn:aws:iam::123456789012:role/other",
            "subnet_ids": ["subnet-2"],
            "ami_type": "AL2023_ARM_64_STANDARD",
            "capacity_type": "SPOT",
            "instance_types": ["m6i.xlarge"],
            "version": "1.35",
            "release_version": "1.34.1-20260202",
            "disk_size": 60,
            "labels": {"a": "c"},
            "scaling_config": [{"desired_size": 1, "max_size": 3, "min_size": 1}],
        },
    ),
    Probe(
        "aws_launch_template",
        "aws:ec2/launchTemplate:LaunchTemplate",
        {"name": "one", "image_id": "ami-1", "update_default_version": True, "vpc_security_group_ids": ["sg-1"]},
        {"name": "two", "image_id": "ami-2", "update_default_version": False, "vpc_security_group_ids": ["sg-2"]},
    ),
    Probe(
        "aws_eks_cluster",
        "aws:eks/cluster:Cluster",
        {
            "name": "one",
            "role_arn": "arn:aws:iam::123456789012:role/one",
            "version": "1.34",
            "bootstrap_self_managed_addons": False,
            "enabled_cluster_log_types": ["api"],
            "vpc_config": [
                {
                    "subnet_ids": ["subnet-1"],
                    "security_group_ids": ["sg-1"],
                    "endpoint_private_access": True,
                    "endpoint_public_access": False,
                }
            ],
            "kubernetes_network_config": [{"service_ipv4_cidr": "172.20.0.0/16"}],
        },
        {
            "name": "two",
            "role_arn": "arn:aws:iam::123456789012:role/two",
            "version": "1.35",
            "bootstrap_self_managed_addons": True,
            "enabled_cluster_log_types": ["audit"],
            "vpc_config": [
                {
                    "subnet_ids": ["subnet-2"],
                    "security_group_ids": ["sg-1"],
                    "endpoint_private_access": True,
                    "endpoint_public_access": False,
                }
            ],
            "kubernetes_network_config": [{"service_ipv4_cidr": "10.100.0.0/16"}],
        },
    ),
    Probe(
        "aws_db_instance",
        "aws:rds/instance:Instance",
        {
            "identifier": "one",
            "engine": "postgres",
            "engine_version": "16.4",
            "instance_class": "db.r6g.large",
            "allocated_storage": 100,
            "db_name": "one",
            "username": "one",
            "password": "one-secret",
            "multi_az": True,
            "storage_encrypted": True,
            "kms_key_id": "arn:aws:kms:us-west-2:123456789012:key/1",
            "db_subnet_group_name": "one",
            "parameter_group_name": "one",
            "availability_zone": "us-west-2a",
            "skip_final_snapshot": True,
            "maintenance_window": "sun:05:00-sun:06:00",
            "port": 5432,
        },
        {
            "identifier": "two",
            "engine": "mysql",
            "engine_version": "16.5",
            "instance_class": "db.r6g.xlarge",
            "allocated_storage": 200,
            "db_name": "two",
            "username": "two",
            "password": "two-secret",
            "multi_az": False,
            "storage_encrypted": False,
            "kms_key_id": "arn:aws:kms:us-west-2:123456789012:key/2",
            "db_subnet_group_name": "two",
            "parameter_group_name": "two",
            "availability_zone": "us-west-2b",
            "maintenance_window": "mon:05:00-mon:06:00",
            "port": 5433,
        },
    ),
    Probe(
        "aws_db_parameter_group",
        "aws:rds/parameterGroup:ParameterGroup",
        {"name": "one", "family": "postgres16", "description": "one"},
        {"name": "two", "family": "postgres17", "description": "two"},
    ),
    Probe(
        "aws_db_subnet_group",
        "aws:rds/subnetGroup:SubnetGroup",
        {"name": "one", "subnet_ids": ["subnet-1", "subnet-2"], "description": "one"},
        {"name": "two", "subnet_ids": ["subnet-1", "subnet-3"], "description": "two"},
    ),
    Probe(
        "aws_elasticache_replication_group",
        "aws:elasticache/replicationGroup:ReplicationGroup",
        {
            "replication_group_id": "one",
            "description": "one",
            "engine": "redis",
            "engine_version": "7.1",
            "node_type": "cache.r6g.large",
            "port": 6379,
            "num_cache_clusters": 2,
            "automatic_failover_enabled": True,
            "at_rest_encryption_enabled": True,
            "transit_encryption_enabled": True,
            "subnet_group_name": "one",
            "parameter_group_name": "one",
            "security_group_ids": ["sg-1"],
            "snapshot_retention_limit": 1,
            "kms_key_id": "arn:aws:kms:us-west-2:123456789012:key/1",
        },
        {
            "replication_group_id": "two",
            "description": "two",
            "node_type": "cache.r6g.xlarge",
            "port": 6380,
            "num_cache_clusters": 3,
            "at_rest_encryption_enabled": False,
            "subnet_group_name": "two",
            "parameter_group_name": "two",
            "security_group_ids": ["sg-2"],
            "snapshot_retention_limit": 2,
            "kms_key_id": "arn:aws:kms:us-west-2:123456789012:key/2",
        },
    ),
    Probe(
        "aws_lb_target_group",
        "aws:lb/targetGroup:TargetGroup",
        {
            "name": "one",
            "vpc_id": "vpc-1",
            "target_type": "ip",
            "port": 443,
            "protocol": "TLS",
            "deregistration_delay": "30",
        },
        {
            "name": "two",
            "vpc_id": "vpc-2",
            "target_type": "instance",
            "port": 444,
            "protocol": "TCP",
            "deregistration_delay": "60",
        },
    ),
    Probe(
        "aws_subnet",
        "aws:ec2/subnet:Subnet",
        {
            "vpc_id": "vpc-1",
            "cidr_block": "10.0.0.0/24",
            "availability_zone": "us-west-2a",
            "map_public_ip_on_launch": False,
        },
        {
            "vpc_id": "vpc-2",
            "cidr_block": "10.0.1.0/24",
            "availability_zone": "us-west-2b",
            "map_public_ip_on_launch": True,
        },
    ),
    Probe(
        "aws_security_group",
        "aws:ec2/securityGroup:SecurityGroup",
        {"name": "one", "description": "one", "vpc_id": "vpc-1"},
        {"name": "two", "description": "two", "vpc_id": "vpc-2"},
    ),
    Probe(
        "aws_kms_key",
        "aws:kms/key:Key",
        {"description": "one", "enable_key_rotation": True, "deletion_window_in_days": 30, "multi_region": False},
        {"description": "two", "enable_key_rotation": False, "deletion_window_in_days": 7, "multi_region": True},
    ),
    Probe(
        "aws_secretsmanager_secret",
        "aws:secretsmanager/secret:Secret",
        {"name": "one", "description": "one", "kms_key_id": "1", "recovery_window_in_days": 30},
        {"name": "two", "description": "two", "kms_key_id": "2", "recovery_window_in_days": 7},
    ),
    Probe(
        "aws_route53_zone",
        "aws:route53/zone:Zone",
        {"name": "one.example", "comment": "one"},
        {"name": "two.example", "comment": "two"},
    ),
    Probe(
        "aws_ecr_repository",
        "aws:ecr/repository:Repository",
        {"name": "one", "image_tag_mutability": "IMMUTABLE"},
        {"name": "two", "image_tag_mutability": "MUTABLE"},
    ),
)
