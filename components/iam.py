"""IAM roles: what trusts whom, and the roles of workloads in a cluster by EKS Pod Identity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from topology import catalog


def document(*statements: Mapping[str, Any]) -> dict[str, Any]:
    """A policy of these statements."""
    return {"Version": catalog.POLICY_VERSION, "Statement": list(statements)}


def service_trust(service: str, account: str | None = None) -> str:
    """A trust policy for an AWS service; with `account`, for calls on that account's behalf alone."""
    statement: dict[str, Any] = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    if account:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account}}
    return policy(statement)


def statement(actions: Sequence[str], resources: Sequence[str], **conditions: Any) -> dict[str, Any]:
    """One Allow statement of a policy."""
    allow: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return {**allow, "Condition": conditions} if conditions else allow


def policy(*statements: Mapping[str, Any]) -> str:
    """The same as text."""
    return json.dumps(document(*statements))


class PodRole(pulumi.ComponentResource):
    """The role of one workload's service account in one cluster, by Pod Identity: no keys, no node's role.

    Inputs: the cluster's name, the service account's namespace and name, the policy (inline) or AWS-managed ones.
    Outputs: arn, and `ready`, the association, which pods that need the role depend on.
    """

    def __init__(
        self,
        name: str,
        *,
        physical_name: str,
        cluster_name: pulumi.Input[str],
        namespace: str,
        service_account: str,
        tags: Mapping[str, str],
        policy: pulumi.Input[str] | None = None,
        managed_policies: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:iam:PodRole", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": catalog.POD_IDENTITY},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
        self.role = aws.iam.Role(
            name, name=physical_name, assume_role_policy=json.dumps(document(trust)), tags=dict(tags), opts=child
        )
        self.arn = self.role.arn
        granted: list[pulumi.Resource] = []
        if policy is not None:
            granted.append(aws.iam.RolePolicy(name, role=self.role.id, policy=policy, opts=child))
        granted += [
            aws.iam.RolePolicyAttachment(
                f"{name}-{arn.rpartition('/')[2]}", role=self.role.name, policy_arn=arn, opts=child
            )
            for arn in managed_policies
        ]
        self.ready = aws.eks.PodIdentityAssociation(
            name,
            cluster_name=cluster_name,
            namespace=namespace,
            service_account=service_account,
            role_arn=self.arn,
            tags=dict(tags),
            opts=pulumi.ResourceOptions(parent=self, depends_on=granted),
        )
        self.register_outputs({"arn": self.arn})
