"""Which inputs replace a resource, asked of AWS's own Terraform provider: each is changed alone in a plan without a cloud.

pulumi-aws wraps that provider. `PROBES` gives, for each type, a resource as it stands and another value for each input;
what the provider then plans, `replace` or `update`, is the fact. No request leaves the machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = "AWS's Terraform provider, `terraform plan` of one change at a time"


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
            "cluster_name": "one", "node_group_name": "one", "node_role_arn": "arn:aws:iam::123456789012:role/node",
            "subnet_ids": ["subnet-1"], "ami_type": "AL2023_x86_64_STANDARD", "capacity_type": "ON_DEMAND",
            "instance_types": ["m6i.large"], "version": "1.34", "release_version": "1.34.0-20260101", "disk_size": 50,
            "labels": {"a": "b"}, "scaling_config": [{"desired_size": 1, "max_size": 2, "min_size": 1}],
        },
        {
            "cluster_name": "two", "node_group_name": "two", "node_role_arn": "arn:aws:iam::123456789012:role/other",
            "subnet_ids": ["subnet-2"], "ami_type": "AL2023_ARM_64_STANDARD", "capacity_type": "SPOT",
            "instance_types": ["m6i.xlarge"], "version": "1.35", "release_version": "1.34.1-20260202", "disk_size": 60,
            "labels": {"a": "c"}, "scaling_config": [{"desired_size": 1, "max_size": 3, "min_size": 1}],
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
            "name": "one", "role_arn": "arn:aws:iam::123456789012:role/one", "version": "1.34",
            "bootstrap_self_managed_addons": False, "enabled_cluster_log_types": ["api"],
            "vpc_config": [{"subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"], "endpoint_private_access": True,
                            "endpoint_public_access": False}],
            "kubernetes_network_config": [{"service_ipv4_cidr": "172.20.0.0/16"}],
        },
        {
            "name": "two", "role_arn": "arn:aws:iam::123456789012:role/two", "version": "1.35",
            "bootstrap_self_managed_addons": True, "enabled_cluster_log_types": ["audit"],
            "vpc_config": [{"subnet_ids": ["subnet-2"], "security_group_ids": ["sg-1"], "endpoint_private_access": True,
                            "endpoint_public_access": False}],
            "kubernetes_network_config": [{"service_ipv4_cidr": "10.100.0.0/16"}],
        },
    ),
    Probe(
        "aws_db_instance",
        "aws:rds/instance:Instance",
        {
            "identifier": "one", "engine": "postgres", "engine_version": "16.4", "instance_class": "db.r6g.large",
            "allocated_storage": 100, "db_name": "one", "username": "one", "password": "one-secret", "multi_az": True,
            "storage_encrypted": True, "kms_key_id": "arn:aws:kms:us-west-2:123456789012:key/1",
            "db_subnet_group_name": "one", "parameter_group_name": "one", "availability_zone": "us-west-2a",
            "skip_final_snapshot": True, "maintenance_window": "sun:05:00-sun:06:00", "port": 5432,
        },
        {
            "identifier": "two", "engine": "mysql", "engine_version": "16.5", "instance_class": "db.r6g.xlarge",
            "allocated_storage": 200, "db_name": "two", "username": "two", "password": "two-secret", "multi_az": False,
            "storage_encrypted": False, "kms_key_id": "arn:aws:kms:us-west-2:123456789012:key/2",
            "db_subnet_group_name": "two", "parameter_group_name": "two", "availability_zone": "us-west-2b",
            "maintenance_window": "mon:05:00-mon:06:00", "port": 5433,
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
            "replication_group_id": "one", "description": "one", "engine": "redis", "engine_version": "7.1",
            "node_type": "cache.r6g.large", "port": 6379, "num_cache_clusters": 2, "automatic_failover_enabled": True,
            "at_rest_encryption_enabled": True, "transit_encryption_enabled": True, "subnet_group_name": "one",
            "parameter_group_name": "one", "security_group_ids": ["sg-1"], "snapshot_retention_limit": 1,
            "kms_key_id": "arn:aws:kms:us-west-2:123456789012:key/1",
        },
        {
            "replication_group_id": "two", "description": "two", "node_type": "cache.r6g.xlarge", "port": 6380,
            "num_cache_clusters": 3, "at_rest_encryption_enabled": False, "subnet_group_name": "two",
            "parameter_group_name": "two", "security_group_ids": ["sg-2"], "snapshot_retention_limit": 2,
            "kms_key_id": "arn:aws:kms:us-west-2:123456789012:key/2",
        },
    ),
    Probe(
        "aws_lb_target_group",
        "aws:lb/targetGroup:TargetGroup",
        {"name": "one", "vpc_id": "vpc-1", "target_type": "ip", "port": 443, "protocol": "TLS", "deregistration_delay": "30"},
        {"name": "two", "vpc_id": "vpc-2", "target_type": "instance", "port": 444, "protocol": "TCP", "deregistration_delay": "60"},
    ),
    Probe(
        "aws_subnet",
        "aws:ec2/subnet:Subnet",
        {"vpc_id": "vpc-1", "cidr_block": "10.0.0.0/24", "availability_zone": "us-west-2a", "map_public_ip_on_launch": False},
        {"vpc_id": "vpc-2", "cidr_block": "10.0.1.0/24", "availability_zone": "us-west-2b", "map_public_ip_on_launch": True},
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
    Probe("aws_route53_zone", "aws:route53/zone:Zone", {"name": "one.example", "comment": "one"}, {"name": "two.example", "comment": "two"}),
    Probe("aws_ecr_repository", "aws:ecr/repository:Repository", {"name": "one", "image_tag_mutability": "IMMUTABLE"}, {"name": "two", "image_tag_mutability": "MUTABLE"}),
)  # fmt: skip


class ProviderAbsent(Exception):
    """terraform, or AWS's provider, is not on this machine."""


def replacements() -> tuple[str, dict[str, dict[str, list[str]]]]:
    """The provider's version, and by Pulumi type what `replaces` and what changes `in_place`, in Pulumi's own words."""
    plugin = _plugin()
    version = plugin.parent.parent.name
    changes = [(probe, name) for probe in PROBES for name in probe.becomes]
    with tempfile.TemporaryDirectory() as folder:
        planned = _plan(Path(folder), plugin.parent, changes)
    found: dict[str, dict[str, list[str]]] = {}
    for index, (probe, name) in enumerate(changes):
        replaced_by = planned.get(index)
        if replaced_by is None:
            continue  # the provider refused the change, or saw none: unknown
        kind = "replaces" if name in replaced_by else "in_place"
        found.setdefault(probe.pulumi, {"replaces": [], "in_place": []})[kind].append(_camel(name))
    return version, {token: {kind: sorted(names) for kind, names in of.items()} for token, of in sorted(found.items())}


def _plugin() -> Path:
    roots = [Path(os.environ["TF_PLUGIN_MIRROR"])] if "TF_PLUGIN_MIRROR" in os.environ else [Path("/opt/tf-plugins")]
    found = [path for root in roots for path in root.glob("*/hashicorp/aws/*/*/terraform-provider-aws_*")]
    if not found or not shutil.which("terraform"):
        raise ProviderAbsent("terraform and AWS's provider (TF_PLUGIN_MIRROR) are not installed")
    return sorted(found)[-1]


def _plan(folder: Path, plugin: Path, changes: list[tuple[Probe, str]]) -> dict[int, set[str]]:
    """The inputs that each change, by its place, is replaced for; one that the provider refuses is left out, the rest asked
    again. What the standing resource lacks may replace it too: only the changed input's own say counts."""
    rc = folder / "terraform.rc"
    rc.write_text(f'provider_installation {{\n dev_overrides {{ "hashicorp/aws" = "{plugin}" }}\n direct {{}}\n}}\n')
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    env = {**keep, "TF_CLI_CONFIG_FILE": str(rc), "CHECKPOINT_DISABLE": "1", "AWS_EC2_METADATA_DISABLED": "true"}
    provider = {
        "region": "us-west-2", "access_key": "none", "secret_key": "none", "skip_credentials_validation": True,
        "skip_requesting_account_id": True, "skip_metadata_api_check": "true", "max_retries": 1,
    }  # fmt: skip
    left = dict(enumerate(changes))
    for _ in range(len(changes)):
        resources: dict[str, dict[str, Any]] = {}
        state: list[dict[str, Any]] = []
        for index, (probe, name) in left.items():
            label = f"probe_{index}"
            resources.setdefault(probe.terraform, {})[label] = {**probe.stands, name: probe.becomes[name]}
            attributes = {"id": "one", **probe.stands}
            state.append(
                {
                    "mode": "managed", "type": probe.terraform, "name": label,
                    "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
                    "instances": [{"schema_version": _schema_version(probe.terraform), "attributes": attributes}],
                }
            )  # fmt: skip
        (folder / "main.tf.json").write_text(
            json.dumps(
                {
                    "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
                    "provider": {"aws": [provider]},
                    "resource": resources,
                }
            )
        )
        (folder / "terraform.tfstate").write_text(
            json.dumps({"version": 4, "serial": 1, "lineage": "probe", "outputs": {}, "resources": state})
        )
        made = subprocess.run(
            ["terraform", "plan", "-refresh=false", "-input=false", "-json", "-out=plan.bin"],
            cwd=folder, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode == 0:
            shown = subprocess.run(
                ["terraform", "show", "-json", "plan.bin"],
                cwd=folder,
                env=env,
                capture_output=True,
                text=True,
                check=True,
            )
            changed = json.loads(shown.stdout)["resource_changes"]
            return {
                int(one["name"].removeprefix("probe_")): {
                    str(path[0]) for path in one["change"].get("replace_paths", [])
                }
                for one in changed
                if one["change"]["actions"] != ["no-op"]
            }
        refused = _refused(made.stdout)
        if not refused & left.keys():
            raise RuntimeError(f"terraform plan failed for no change: {made.stdout[-2000:]}{made.stderr[-2000:]}")
        for index in refused & left.keys():
            del left[index]
    return {}


def _refused(lines: str) -> set[int]:
    """The changes that errors are about."""
    found = set()
    for line in lines.splitlines():
        said = json.loads(line) if line.startswith("{") else {}
        if said.get("@level") == "error":
            found |= {int(number) for number in re.findall(r"probe_(\d+)", json.dumps(said))}
    return found


def _schema_version(terraform: str) -> int:
    return {
        "aws_db_instance": 2,
        "aws_elasticache_replication_group": 2,
        "aws_security_group": 1,
        "aws_subnet": 1,
        "aws_eks_cluster": 1,
    }.get(terraform, 0)


def _camel(name: str) -> str:
    return re.sub(r"_+(.)", lambda match: match[1].upper(), name)
