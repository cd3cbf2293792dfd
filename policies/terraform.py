"""A plan's AWS resources as the JSON of a Terraform plan, for tools that read nothing else (checkov).

Only for comparison: names are Terraform's, values the plan's. What is not known before the deployment is marked as such
(`after_unknown`), and where it comes from is written as a reference,
so that checks over several resources find their way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plan.record import Plan, Resource
from plan.values import Secret, is_unknown

TYPES = {
    "ec2/vpc:Vpc": "vpc",
    "ec2/vpcEndpoint:VpcEndpoint": "vpc_endpoint",
    "ec2/vpcPeeringConnection:VpcPeeringConnection": "vpc_peering_connection",
    "ec2/vpcPeeringConnectionAccepter:VpcPeeringConnectionAccepter": "vpc_peering_connection_accepter",
    "ec2/peeringConnectionOptions:PeeringConnectionOptions": "vpc_peering_connection_options",
    "acm/certificateValidation:CertificateValidation": "acm_certificate_validation",
    "acm/certificate:Certificate": "acm_certificate",
    "cloudwatch/logGroup:LogGroup": "cloudwatch_log_group",
    "cloudwatch/metricAlarm:MetricAlarm": "cloudwatch_metric_alarm",
    "ec2/defaultSecurityGroup:DefaultSecurityGroup": "default_security_group",
    "rds/instance:Instance": "db_instance",
    "rds/eventSubscription:EventSubscription": "db_event_subscription",
    "rds/parameterGroup:ParameterGroup": "db_parameter_group",
    "rds/subnetGroup:SubnetGroup": "db_subnet_group",
    "rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication": (
        "db_instance_automated_backups_replication"
    ),
    "lb/loadBalancer:LoadBalancer": "lb",
    "iam/role:Role": "iam_role",
    "iam/rolePolicy:RolePolicy": "iam_role_policy",
    "iam/rolePolicyAttachment:RolePolicyAttachment": "iam_role_policy_attachment",
    "vpc/securityGroupEgressRule:SecurityGroupEgressRule": "vpc_security_group_egress_rule",
    "vpc/securityGroupIngressRule:SecurityGroupIngressRule": "vpc_security_group_ingress_rule",
}
"""Pulumi's types whose Terraform names do not follow from module and name (pulumi-aws, the provider's resource map)."""

_MAPS = frozenset({"tags", "labels", "dimensions", "variables"})
_PLURAL_BLOCKS = frozenset({"block_device_mappings", "tag_specifications", "redacted_fields"})
"""Blocks that Terraform itself names in the plural."""


def terraform_type(token: str) -> str:
    """`aws_db_instance` of `aws:rds/instance:Instance`."""
    name = token.removeprefix("aws:")
    if name in TYPES:
        return f"aws_{TYPES[name]}"
    module, _, kind = name.partition("/")
    words = _snake(kind.partition(":")[2])
    return f"aws_{words}" if module in ("ec2", "vpc") else f"aws_{module}_{words}"


def to_terraform(plan: Plan) -> dict[str, Any]:
    """The plan's AWS resources as `terraform show -json` writes a plan."""
    chosen = [r for r in plan.resources if r.package == "aws" and r.custom]
    addresses = {r.urn: f"{terraform_type(r.type)}.{_label(r.name)}" for r in chosen}
    return {
        "format_version": "1.2",
        "terraform_version": "1.9.0",
        "planned_values": {"root_module": {"resources": [_planned(r, addresses) for r in chosen]}},
        "resource_changes": [_change(r, addresses) for r in chosen],
        "configuration": {"root_module": {"resources": [_configured(r, addresses) for r in chosen]}},
    }


def _label(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)


def _head(resource: Resource, addresses: Mapping[str, str]) -> dict[str, Any]:
    address = addresses[resource.urn]
    kind, _, name = address.partition(".")
    return {"address": address, "mode": "managed", "type": kind, "name": name}


def _planned(resource: Resource, addresses: Mapping[str, str]) -> dict[str, Any]:
    provider = "registry.terraform.io/hashicorp/aws"
    return {**_head(resource, addresses), "provider_name": provider, "values": _values(resource.inputs)[0]}


def _change(resource: Resource, addresses: Mapping[str, str]) -> dict[str, Any]:
    values, unknown = _values(resource.inputs)
    change = {"actions": ["create"], "before": None, "after": values, "after_unknown": unknown}
    return {**_head(resource, addresses), "provider_name": "registry.terraform.io/hashicorp/aws", "change": change}


def _configured(resource: Resource, addresses: Mapping[str, str]) -> dict[str, Any]:
    expressions: dict[str, Any] = {}
    for name, value in resource.inputs.items():
        sources = [addresses[u] for u in resource.property_dependencies.get(name, ()) if u in addresses]
        references = [text for source in sources for text in (f"{source}.id", source)]
        expressions[_name(name, value)] = {"references": references} if references else {"constant_value": None}
    return {**_head(resource, addresses), "provider_config_key": "aws", "expressions": expressions, "schema_version": 0}


def _values(inputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs under Terraform's names, and beside them which are not known."""
    values: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, value in inputs.items():
        key = _name(name, value)
        if is_unknown(value):
            unknown[key] = True
        elif isinstance(value, Secret):
            values[key] = str(value)
        elif isinstance(value, Mapping) and name not in _MAPS:
            inner, missing = _values(value)
            values[key] = [inner]
            if missing:
                unknown[key] = [missing]
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            pairs = [_values(item) for item in value]
            values[key] = [inner for inner, _ in pairs]
            if any(missing for _, missing in pairs):
                unknown[key] = [missing for _, missing in pairs]
        elif isinstance(value, list) and any(is_unknown(item) for item in value):
            unknown[key] = True
        else:
            values[key] = value
    return values, unknown


def _name(name: str, value: Any) -> str:
    """Terraform's name of an input: snake case, and blocks in the singular."""
    snake = _snake(name)
    blocks = isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)
    if not blocks or snake in _PLURAL_BLOCKS:
        return snake
    if snake.endswith("ies"):
        return f"{snake[:-3]}y"
    return snake[:-2] if snake.endswith("ses") else snake.removesuffix("s")


def _snake(name: str) -> str:
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()
