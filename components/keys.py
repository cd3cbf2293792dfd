"""One region's KMS keys."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_aws as aws

from components.settings import Region
from components.topology import Topology

PURPOSES = {
    "database": "Postgres instances, their backups and performance insights",
    "redis": "caches and session stores",
    "secrets": "Secrets Manager",
    "cluster": "Kubernetes secrets, node disks and images",
    "telemetry": "logs and alarms",
}


class RegionKeys(pulumi.ComponentResource):
    """One region's customer keys, one a purpose: database, redis, secrets, cluster, telemetry.

    Each rotates yearly. Data never leaves its region under another region's key, so that any region can be lost.

    Outputs: arns by purpose.
    """

    def __init__(self, region: Region, topology: Topology, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("hal9:keys:RegionKeys", f"{region.name}-keys", {}, opts)
        child = pulumi.ResourceOptions(parent=self, protect=topology.protect)
        names = topology.names
        self.arns: dict[str, pulumi.Output[str]] = {}
        for purpose, what in PURPOSES.items():
            key = aws.kms.Key(
                f"{region.name}-{purpose}",
                description=f"{names.of(region.name)}: {what}",
                enable_key_rotation=True,
                deletion_window_in_days=30 if topology.protect else 7,
                policy=json.dumps(_policy(purpose, region, topology)),
                tags=names.tags("keys", region.name, name=names.of(region.name, purpose)),
                opts=child,
            )
            aws.kms.Alias(
                f"{region.name}-{purpose}",
                name=f"alias/{names.of(region.name, purpose)}",
                target_key_id=key.key_id,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.arns[purpose] = key.arn
        self.register_outputs({"arns": self.arns})


def _policy(purpose: str, region: Region, topology: Topology) -> dict[str, Any]:
    """The key's policy: the account decides by IAM; AWS services that have no role of ours are named."""
    account = topology.account_id
    statements: list[dict[str, Any]] = [
        {
            "Sid": "AccountDecidesByIam",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
    use = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    if purpose == "telemetry":
        logs = f"arn:aws:logs:{region.aws_region}:{account}:*"
        statements += [
            {
                "Sid": "LogGroups",
                "Effect": "Allow",
                "Principal": {"Service": f"logs.{region.aws_region}.amazonaws.com"},
                "Action": use,
                "Resource": "*",
                "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
            },
            {
                "Sid": "AlarmsToTopic",
                "Effect": "Allow",
                "Principal": {"Service": ["cloudwatch.amazonaws.com", "events.rds.amazonaws.com"]},
                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:SourceAccount": account}},
            },
        ]
    if purpose == "cluster":  # node disks are made by the autoscaling service's own role
        role = f"arn:aws:iam::{account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        statements += [
            {"Sid": "NodeDisks", "Effect": "Allow", "Principal": {"AWS": role}, "Action": use, "Resource": "*"},
            {
                "Sid": "NodeDiskGrants",
                "Effect": "Allow",
                "Principal": {"AWS": role},
                "Action": "kms:CreateGrant",
                "Resource": "*",
                "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
            },
        ]
    return {"Version": "2012-10-17", "Statement": statements}
