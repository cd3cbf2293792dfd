"""One region's KMS keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pulumi
import pulumi_aws as aws

from components import iam
from topology import catalog
from topology.topology import Topology

PURPOSES = {
    "database": "Postgres instances, their backups and performance insights",
    "redis": "caches and session stores",
    "secrets": "Secrets Manager",
    "cluster": "Kubernetes secrets, node disks and images",
    "telemetry": "logs and alarms",
}


class RegionKeys(pulumi.ComponentResource):
    """One region's customer keys, one a purpose: database, redis, secrets, cluster, telemetry.

    Inputs: the region's name, its AWS region, and the purposes that it needs keys for. Each rotates yearly. Data never
    leaves its region under another region's key, so that any region can be lost.

    Outputs: arns by purpose.
    """

    def __init__(
        self,
        name: str,
        aws_region: str,
        topology: Topology,
        purposes: Iterable[str] = tuple(PURPOSES),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:keys:RegionKeys", f"{name}-keys", {}, opts)
        child = pulumi.ResourceOptions(parent=self, protect=topology.protect)
        names = topology.names
        self.arns: dict[str, pulumi.Output[str]] = {}
        for purpose in purposes:
            key = aws.kms.Key(
                f"{name}-{purpose}",
                description=f"{names.of(name)}: {PURPOSES[purpose]}",
                enable_key_rotation=True,
                deletion_window_in_days=30 if topology.keep_backups else 7,
                policy=_policy(purpose, aws_region, topology),
                tags=names.tags("keys", name, name=names.of(name, purpose)),
                opts=child,
            )
            aws.kms.Alias(
                f"{name}-{purpose}",
                name=f"alias/{names.of(name, purpose)}",
                target_key_id=key.key_id,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.arns[purpose] = key.arn
        self.register_outputs({"arns": self.arns})


def _policy(purpose: str, aws_region: str, topology: Topology) -> str:
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
        logs = f"arn:aws:logs:{aws_region}:{account}:*"
        statements += [
            {
                "Sid": "LogGroups",
                "Effect": "Allow",
                "Principal": {"Service": f"logs.{aws_region}.amazonaws.com"},
                "Action": use,
                "Resource": "*",
                "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
            },
            {
                "Sid": "AlarmsToTopic",
                "Effect": "Allow",
                "Principal": {"Service": [catalog.CLOUDWATCH, catalog.RDS_EVENTS]},
                "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:SourceAccount": account}},
            },
        ]
    if purpose == "cluster":  # node disks are made by the autoscaling service's own role
        # By condition, not as principal: KMS refuses a principal that does not exist, and a fresh account has this role
        # only from its first node group on, which waits for the key.
        role = f"arn:aws:iam::{account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
        it = {"StringEquals": {"kms:CallerAccount": account}, "ArnEquals": {"aws:PrincipalArn": role}}
        statements += [
            {
                "Sid": "NodeDisks",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": use,
                "Resource": "*",
                "Condition": it,
            },
            {
                "Sid": "NodeDiskGrants",
                "Effect": "Allow",
                "Principal": {"AWS": "*"},
                "Action": "kms:CreateGrant",
                "Resource": "*",
                "Condition": {**it, "Bool": {"kms:GrantIsForAWSResource": "true"}},
            },
        ]
    return iam.policy(*statements)
