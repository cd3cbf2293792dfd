"""Policies of who may do what in AWS, of what must not be deleted, and of whether regions are alike."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from plan import schema
from plan.record import Resource
from plan.values import is_unknown
from policies import tokens
from policies.expect import at, shown, wants, wants_any
from policies.policy import Finding, Later, Level, Setting, Violation, resource_policy, stack_policy
from policies.stack import Stack
from topology import catalog

_DOCUMENTS = {
    tokens.ROLE_POLICY: "policy",
    tokens.IAM_POLICY: "policy",
    tokens.ROLE: "assumeRolePolicy",
    tokens.KEY: "policy",
    tokens.TOPIC_POLICY: "policy",
}
ON_ANY_RESOURCE = (
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeLaunchConfigurations",
    "autoscaling:DescribeScalingActivities",
    "autoscaling:DescribeTags",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "ec2:GetInstanceTypesFromInstanceRequirements",
    "elasticloadbalancing:DescribeTargetGroups",
    "elasticloadbalancing:DescribeTargetHealth",
)
"""Actions that take no resource (Service Authorization Reference, the
column "Resource types" is empty): `*` is all that can be written for them.
"""

_KMS_FAMILIES = {"kms:ReEncrypt*", "kms:GenerateDataKey*"}
"""What AWS's own key policies write: actions of one purpose, on the one key that the policy is of."""


@resource_policy(
    *_DOCUMENTS,
    tokens.ROLE_ATTACHMENT,
    anyResource=Setting(ON_ANY_RESOURCE, "actions that take no resource, so that `*` is the only one to write"),
)
def no_wildcard_iam(resource: Resource, anyResource: tuple[str, ...]) -> Iterator[Finding]:
    """A role that may do more than its work gives all of that to whoever
    takes over its pod. (CIS-EKS 5.2.1; CKV_AWS_62, 63, 286-290, 355, 356)

    Fix: components/pod_roles.py and its neighbours; name the actions and the resources.
    """
    if resource.type == tokens.ROLE_ATTACHMENT:
        arn = at(resource, "policyArn")
        if isinstance(arn, str) and re.search(
            r"/(AdministratorAccess|PowerUserAccess|IAMFullAccess|\w+FullAccess)$", arn
        ):
            yield Violation(resource, f"policyArn is {arn}", "a policy of its own work")
        return
    text = at(resource, _DOCUMENTS[resource.type])
    if is_unknown(text):
        yield Later(resource, _DOCUMENTS[resource.type])
        return
    if text is None and resource.type == tokens.KEY:
        return  # that it has one is `kms_keys_rotate`'s
    try:
        statements = json.loads(text)["Statement"]
    except (TypeError, ValueError, KeyError):
        yield Violation(resource, f"{_DOCUMENTS[resource.type]} is no policy document", "JSON with statements")
        return
    for index, statement in enumerate(statements if isinstance(statements, list) else [statements]):
        if statement.get("Effect") == "Allow":
            for found, wanted in _too_wide(statement, resource.type, anyResource):
                yield Violation(resource, f"statement {statement.get('Sid', index)}: {found}", wanted)


def _too_wide(statement: dict[str, Any], kind: str, any_resource: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What one statement allows beyond its work."""
    actions, resources = _listed(statement.get("Action")), _listed(statement.get("Resource"))
    for name in ("NotAction", "NotResource", "NotPrincipal"):
        if name in statement:
            yield f"{name} allows all the rest", f"no {name}"
    own_key = kind == tokens.KEY
    if own_key and actions == ["kms:*"] and _is_account_root(statement.get("Principal")):
        return  # AWS's default statement: without it nobody could manage the key, and IAM decides
    for action in actions:
        if "*" in action and not (own_key and action in _KMS_FAMILIES):
            yield f"Action {action}", "named actions"
    if kind in (tokens.ROLE_POLICY, tokens.IAM_POLICY) and "*" in resources:
        narrow = [action for action in actions if "*" not in action and action not in any_resource]
        if narrow:
            yield f"Resource * for {', '.join(narrow)}", "named resources"
    principal = statement.get("Principal")
    everybody = "*" in (_listed(principal) if not isinstance(principal, dict) else _listed(principal.get("AWS")))
    if everybody and not statement.get("Condition"):
        yield "Principal * without a condition", "a named principal"


def _is_account_root(principal: Any) -> bool:
    return isinstance(principal, dict) and bool(re.fullmatch(r"arn:aws:iam::\d{12}:root", str(principal.get("AWS"))))


def _listed(value: Any) -> list[str]:
    return [] if value is None else [str(v) for v in value] if isinstance(value, list) else [str(value)]


@stack_policy(tokens.POD_IDENTITY, tokens.ROLE)
def pod_identity_per_workload(stack: Stack) -> Iterator[Finding]:
    """Workloads that share a role share each other's secrets, and one that uses
    its node's role has every pod's. (CIS-EKS 5.2.1; EKS Best Practices, identity)

    Fix: components/pod_roles.py, a PodRole for each workload.
    """
    held: dict[str, Resource] = {}
    for association in stack.of(tokens.POD_IDENTITY):
        roles = stack.sources(association, "roleArn", tokens.ROLE)
        if not roles:
            yield Violation(association, f"roleArn is {shown(at(association, 'roleArn'))}", "a role of this stack")
        for role in roles:
            if (first := held.setdefault(role.urn, association)) is not association:
                yield Violation(association, f"roleArn is {role.name}, which {first.name} has", "a role of its own")
            if "pods.eks.amazonaws.com" not in str(at(role, "assumeRolePolicy")):
                yield Violation(role, "assumeRolePolicy does not trust pods.eks.amazonaws.com", "Pod Identity alone")
        yield from wants_any(association, "serviceAccount", "a service account")


_PROTECTED: dict[str, tuple[str, ...]] = {
    tokens.EKS: ("deletionProtection",),
    tokens.LOAD_BALANCER: ("enableDeletionProtection",),
    tokens.VPC: (),
    tokens.KEY: (),
    tokens.SECRET: (),
    tokens.ZONE: (),
    tokens.DISTRIBUTION: (),
    tokens.DATASTORE: (),
    tokens.REPOSITORY: (),
    "random:index/randomBytes:RandomBytes": (),
}


@resource_policy(*_PROTECTED)
def stateful_protected(resource: Resource) -> Iterator[Finding]:
    """A rename or a mistaken `destroy` must not take keys, sessions, secrets,
    names or a whole region's network along. (Pulumi, protect; CKV_AWS_150)

    Fix: hal9:protect.
    """
    for path in _PROTECTED[resource.type]:
        yield from wants(resource, path, True)
    if not resource.protect:
        yield Violation(resource, "protect is false", "protect true")


@stack_policy("aws:*", "kubernetes:*", tokens.AWS_PROVIDER)
def explicit_provider_region(stack: Stack) -> Iterator[Finding]:
    """A resource of the default provider lands in whatever region or
    cluster the deployer's shell points to. (Pulumi, explicit providers)

    Fix: the component's opts; providers are made in components/region.py, one a region.
    """
    for resource in stack.resources:
        if resource.type == tokens.AWS_PROVIDER:
            yield from wants(resource, "region", None, lambda value: isinstance(value, str), "a region, written out")
            yield from wants_any(resource, "allowedAccountIds", "the account of hal9:accountId alone")
        elif resource.custom and resource.package in ("aws", "kubernetes"):
            provider = stack.by_urn.get(resource.provider)
            if provider is None or provider.name.startswith("default"):
                yield Violation(resource, "its provider is the default one", "its region's own")


@resource_policy(
    "aws:*",
    level=Level.ADVISORY,
    tags=Setting(("owner", "project", "region", "stack"), "tags that every resource has that can have tags"),
)
def tags_owner_region(resource: Resource, tags: tuple[str, ...]) -> Iterator[Finding]:
    """What has no owner is nobody's to mend or to pay for, and what has
    no region cannot be found when one fails. (AWS tagging best practices)

    Fix: topology/naming.py, Names.tags; hal9:owner.
    """
    if not _taggable(resource.type):
        return
    found = at(resource, "tags")
    missing = [tag for tag in tags if not isinstance(found, dict) or not found.get(tag)]
    if missing:
        yield Violation(resource, f"tags lack {', '.join(missing)}", f"tags {', '.join(tags)}")


def _taggable(token: str) -> bool:
    try:
        return "tags" in schema.members(schema.inputs_class(token))
    except LookupError:
        return False


_COMPARED: dict[str, tuple[str, tuple[str, ...]]] = {
    tokens.EKS: ("", ("version",)),
    tokens.ADD_ON: ("addonName", ("addonVersion", "configurationValues")),
    tokens.NODE_GROUP: ("capacityType", ("instanceTypes", "scalingConfig.minSize", "scalingConfig.maxSize", "version")),
    tokens.RDS_PARAMETERS: ("family", ("parameters",)),
    tokens.AUTOSCALER: ("metadata.name", ("spec.minReplicas", "spec.maxReplicas", "spec.metrics", "spec.behavior")),
    tokens.DESTINATION_RULE: ("metadata.name", ("spec.trafficPolicy",)),
}
"""What must be alike in every region: by type, the input that
says which counterpart is meant, and the inputs compared.
"""


@stack_policy(*_COMPARED, regions=Setting(2, "fewest regions that the stack must have", 1))
def region_config_parity(stack: Stack, regions: int) -> Iterator[Finding]:
    """A region that is smaller or older than the others fails on the day
    that it must carry their users. (Well-Architected REL11-BP05; REL08-BP04)

    Fix: hal9:regions; sizes and versions are set once for all regions, and the floor is `regions` of this policy in
    policies/config.STACK.json.
    """
    if len(stack.regions) < regions:
        first = next(iter(stack.regions.values()), None)
        count = f"{len(stack.regions)} region{'s'[: len(stack.regions) != 1]}"
        yield Violation(first, f"the stack has {count}", f"at least {regions}")
    for kind, (role, paths) in _COMPARED.items():
        held: dict[str, dict[str, list[Resource]]] = defaultdict(lambda: defaultdict(list))
        for resource in sorted(stack.of(kind), key=lambda one: one.name):  # the engine hands them over in any order
            held[shown(at(resource, role)) if role else ""][resource.region].append(resource)
        for counterpart, by_region in sorted(held.items()):
            pattern = next(iter(by_region.values()))[0]
            for region in sorted(stack.regions.keys() - by_region.keys()):
                yield Violation(
                    pattern, f"{region} has no such {pattern.kind} {counterpart}".rstrip(), "one in every region"
                )
            yield from _unlike(by_region, paths)


def _measured(path: str, resources: list[Resource]) -> Any:
    """What is compared of a region's resources: of node groups, one a zone, how many nodes they have together; of
    instance types their size, as not every region is sold the same ones.
    """
    values = [at(resource, path) for resource in resources]
    if path.startswith("scalingConfig.") and all(isinstance(value, int) for value in values):
        return sum(values)
    if path == "instanceTypes":
        values = [sorted({str(catalog.instance_size(str(name)) or name) for name in value or ()}) for value in values]
    alike = {json.dumps(value, sort_keys=True, default=str): value for value in values}
    return next(iter(alike.values())) if len(alike) == 1 else [alike[text] for text in sorted(alike)]


def _unlike(by_region: dict[str, list[Resource]], paths: tuple[str, ...]) -> Iterator[Finding]:
    """Where one region differs from what most have."""
    for path in paths:
        measured = {region: _measured(path, resources) for region, resources in by_region.items()}
        values = {region: json.dumps(value, sort_keys=True, default=str) for region, value in measured.items()}
        usual = max(sorted(set(values.values())), key=list(values.values()).count)
        for region, value in sorted(values.items()):
            if value != usual:
                resources = by_region[region]
                of = f" over {len(resources)} of them" if len(resources) > 1 else ""
                found = shown(at(resources[0], path) if not of else measured[region])
                yield Violation(
                    resources[0], f"{path} is {found}{of}", f"the other regions' {shown(json.loads(usual))}"
                )


POLICIES = (
    no_wildcard_iam,
    pod_identity_per_workload,
    stateful_protected,
    explicit_provider_region,
    tags_owner_region,
    region_config_parity,
)
