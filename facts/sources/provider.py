"""Which inputs replace a resource, asked of AWS's own Terraform
provider: each is changed alone in a plan without a cloud.

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
from pathlib import Path
from typing import Any

from facts.sources.probes import PROBES, Probe

SOURCE = "AWS's Terraform provider, `terraform plan` of one change at a time"


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
    return max(found)


def _plan(folder: Path, plugin: Path, changes: list[tuple[Probe, str]]) -> dict[int, set[str]]:
    """The inputs that each change, by its place, is replaced for; one that the provider refuses is left out, the rest
    asked again. What the standing resource lacks may replace it too: only the changed input's own say counts.
    """
    rc = folder / "terraform.rc"
    rc.write_text(f'provider_installation {{\n dev_overrides {{ "hashicorp/aws" = "{plugin}" }}\n direct {{}}\n}}\n')
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
    env = {**keep, "TF_CLI_CONFIG_FILE": str(rc), "CHECKPOINT_DISABLE": "1", "AWS_EC2_METADATA_DISABLED": "true"}
    provider = {
        "region": "us-west-2",
        "access_key": "none",
        "secret_key": "none",
        "skip_credentials_validation": True,
        "skip_requesting_account_id": True,
        "skip_metadata_api_check": "true",
        "max_retries": 1,
    }
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
                    "mode": "managed",
                    "type": probe.terraform,
                    "name": label,
                    "provider": 'provider["registry.terraform.io/hashicorp/aws"]',
                    "instances": [{"schema_version": _schema_version(probe.terraform), "attributes": attributes}],
                }
            )
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
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
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
