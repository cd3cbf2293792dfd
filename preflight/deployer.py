"""The policy document of the role that deploys: the services that a plan has resources of, and no others."""

from __future__ import annotations

from typing import Any

from policies.stack import Stack
from topology import catalog

PREFIXES: dict[str, tuple[str, ...]] = {
    "cloudwatch": ("cloudwatch", "logs"),
    "lb": ("elasticloadbalancing",),
    "vpc": ("ec2",),
}
"""Modules of pulumi-aws whose IAM prefix is another, or that are of two services."""
OF_NAMED = ("role", "policy", "instance-profile")
"""What of IAM is the stack's own by its name."""


def policy(stack: Stack, account_id: str, project: str) -> dict[str, Any]:
    """IAM's document. Of IAM itself it may change what is named after the project, and make service-linked roles."""
    modules = {token.split(":")[1].partition("/")[0] for token in stack.types if token.startswith("aws:")}
    services = {prefix for module in modules - {"iam"} for prefix in PREFIXES.get(module, (module,))}
    own = [f"arn:aws:iam::{account_id}:{what}/{project}-*" for what in OF_NAMED]
    linked = f"arn:aws:iam::{account_id}:role/aws-service-role/*"
    return {
        "Version": catalog.POLICY_VERSION,
        "Statement": [
            {
                "Sid": "ServicesOfThePlan",
                "Effect": "Allow",
                "Action": [f"{service}:*" for service in sorted(services)],
                "Resource": "*",
            },
            {"Sid": "OwnRoles", "Effect": "Allow", "Action": "iam:*", "Resource": own},
            {
                "Sid": "RolesOfServices",
                "Effect": "Allow",
                "Action": ["iam:CreateServiceLinkedRole", "iam:GetRole"],
                "Resource": linked,
            },
            {
                "Sid": "Preflight",
                "Effect": "Allow",
                "Action": ["servicequotas:GetServiceQuota", "sts:GetCallerIdentity", "iam:ListRoles"],
                "Resource": "*",
            },
        ],
    }
