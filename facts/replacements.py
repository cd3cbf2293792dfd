"""What a change of a resource's properties does: replaced, in which order, held for the window, restarted.

What AWS's provider replaces was asked of the provider itself (`data/properties.json`, made by facts/make.py);
the rest is short and each part names its source.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from facts.table import table

_INDEX = re.compile(r"\[\d+\]")

DATABASE = "aws:rds/instance:Instance"
STORE = "aws:elasticache/replicationGroup:ReplicationGroup"
DATASTORE = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"
NODES = "aws:eks/nodeGroup:NodeGroup"

STATED: Mapping[str, frozenset[str]] = {
    "aws:lb/targetGroup:TargetGroup": frozenset(
        {"name", "namePrefix", "port", "protocol", "protocolVersion", "targetType", "vpcId", "ipAddressType"}
    ),
    "aws:cloudwatch/logDeliveryDestination:LogDeliveryDestination": frozenset({"name", "deliveryDestinationType"}),
    "aws:cloudwatch/logDelivery:LogDelivery": frozenset({"deliveryDestinationArn", "deliverySourceName"}),
    "aws:cloudwatch/logDeliverySource:LogDeliverySource": frozenset({"name", "resourceArn", "logType"}),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": frozenset({"clusterName", "namespace", "serviceAccount"}),
    "aws:ec2/subnet:Subnet": frozenset({"ipv4IpamPoolId", "ipv4NetmaskLength"}),
}
"""Types and properties about which the provider was silent: the arguments that its documentation calls forcing."""

KUBERNETES: frozenset[str] = frozenset({"apiVersion", "kind"})
"""Of any object; and its name and namespace. A Secret is changed in place only where the provider's
configuration says so (as it does here for ConfigMaps: `components/platform.py`), and a Job's pod
template never (pulumi-kubernetes, provider/pkg/clients/unstructured and forceNewProperties).
"""
_IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "Secret": ("data", "stringData", "binaryData", "type"),
    "Job": ("spec.completions", "spec.selector", "spec.template"),
    "Deployment": ("spec.selector",),
    "StatefulSet": ("spec.selector", "spec.serviceName", "spec.volumeClaimTemplates"),
    "StorageClass": ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    "Service": ("spec.clusterIP",),
}

PHYSICAL_NAMES: Mapping[str, str] = {
    "aws:cloudwatch/logGroup:LogGroup": "name",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "name",
    "aws:ecr/repository:Repository": "name",
    "aws:eks/cluster:Cluster": "name",
    NODES: "nodeGroupName",
    "aws:elasticache/parameterGroup:ParameterGroup": "name",
    STORE: "replicationGroupId",
    "aws:elasticache/subnetGroup:SubnetGroup": "name",
    "aws:iam/instanceProfile:InstanceProfile": "name",
    "aws:iam/policy:Policy": "name",
    "aws:iam/role:Role": "name",
    "aws:kms/alias:Alias": "name",
    "aws:lb/loadBalancer:LoadBalancer": "name",
    "aws:lb/targetGroup:TargetGroup": "name",
    DATABASE: "identifier",
    "aws:rds/parameterGroup:ParameterGroup": "name",
    "aws:rds/subnetGroup:SubnetGroup": "name",
    "aws:s3/bucket:Bucket": "bucket",
    "aws:secretsmanager/secret:Secret": "name",
    "aws:sns/topic:Topic": "name",
    "aws:sqs/queue:Queue": "name",
    "aws:wafv2/webAcl:WebAcl": "name",
}
"""The input that names a resource in AWS itself; AWS refuses a second of that name in the same account and region, and
so a replacement that keeps the name is deleted before its successor is made (pulumi-terraform-bridge,
nameRequiresDeleteBeforeReplace)."""

HELD: Mapping[str, frozenset[str]] = {
    DATABASE: frozenset(
        {
            "instanceClass",
            "engineVersion",
            "allocatedStorage",
            "backupRetentionPeriod",
            "caCertIdentifier",
            "identifier",
            "multiAz",
            "port",
            "storageType",
        }
    ),
    STORE: frozenset({"nodeType", "engineVersion", "parameterGroupName"}),
}
"""What waits for the maintenance window while `applyImmediately` is false (RDS User Guide, Settings for DB instances;
ElastiCache, ModifyReplicationGroup)."""

RESTARTING: Mapping[str, frozenset[str]] = {
    DATABASE: frozenset({"instanceClass", "engineVersion", "port", "caCertIdentifier"}),
    STORE: frozenset({"nodeType", "engineVersion"}),
    DATASTORE: frozenset({"cacheNodeType", "engineVersion"}),
    NODES: frozenset({"version", "releaseVersion", "launchTemplate"}),
}
"""What ends the connections, or the pods, that are there (the same guides; EKS, managed node updates)."""


def asked() -> Mapping[str, Mapping[str, Any]]:
    """By type: `replaces`, and `silent` where the provider had no answer."""
    content: Mapping[str, Mapping[str, Any]] = table("properties").content
    return content


def source() -> str:
    """Where what the provider replaces was taken from, as a finding names it."""
    return table("properties").cited


def replacing(token: str, changed: Iterable[str]) -> set[str]:
    """Those of a resource's changed properties (paths such as `spec.selector`) that only a new resource can have."""
    package = token.partition(":")[0]
    if package == "kubernetes":
        fixed = (*KUBERNETES, "metadata.name", "metadata.namespace", *_IMMUTABLE.get(token.rpartition(":")[2], ()))
        if token.endswith(":Release"):
            fixed = ("name", "namespace")
        return {
            path for path in changed if any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in fixed)
        }
    if package == "random":
        return set(changed)
    if package == "tls":
        return {path for path in changed if _top(path) != "earlyRenewalHours"}
    if token.startswith("pulumi:providers:"):
        return {path for path in changed if _top(path) in {"region", "kubeconfig", "clusterIdentifier"}}
    known = {*asked().get(token, {}).get("replaces", ()), *STATED.get(token, ())}
    return {path for path in changed if any(_touches(_INDEX.sub("", path), one) for one in known)}


def unasked(token: str) -> bool:
    """Whether nothing is known of a type: its changes are told as in place, with a word of doubt."""
    return token.startswith("aws:") and token not in asked() and token not in STATED


def name_kept(token: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a replacement would have its predecessor's own name, and so has to wait until that is gone."""
    if token.startswith("kubernetes:"):
        return _kubernetes_name(before) == _kubernetes_name(after)
    name = PHYSICAL_NAMES.get(token)
    return name is not None and before.get(name) is not None and before.get(name) == after.get(name)


def _kubernetes_name(inputs: Mapping[str, Any]) -> tuple[Any, Any]:
    metadata = inputs.get("metadata")
    place = metadata if isinstance(metadata, Mapping) else inputs
    return place.get("namespace"), place.get("name")


def held(token: str, changed: Iterable[str], inputs: Mapping[str, Any]) -> set[str]:
    """Those of the changed properties that AWS applies in the maintenance window only."""
    if inputs.get("applyImmediately"):
        return set()
    return {path for path in changed if _top(path) in HELD.get(token, frozenset())}


def restarting(token: str, changed: Iterable[str]) -> set[str]:
    """Those of the changed properties that restart what runs."""
    if token.startswith("kubernetes:apps/"):
        return {path for path in changed if path.startswith("spec.template")}
    if token.endswith(":Release"):
        return {path for path in changed if _top(path) in {"values", "version", "chart"}}
    return {path for path in changed if _top(path) in RESTARTING.get(token, frozenset())}


def _touches(path: str, fixed: str) -> bool:
    """Whether a change at `path` changes what is fixed: it, something in it, or the whole that it is in."""
    return path == fixed or path.startswith(f"{fixed}.") or fixed.startswith(f"{path}.")


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]
