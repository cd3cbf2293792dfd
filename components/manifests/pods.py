"""What every pod of ours has alike: no privilege, a place of its own to write, secrets as files, and a spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from components.manifests import Manifest, metadata
from topology.naming import CAPACITY_LABEL, SPOT_TAINT

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""A container's security context under the restricted Pod Security Standard."""

DISK = {"requests": {"ephemeral-storage": "128Mi"}, "limits": {"ephemeral-storage": "1Gi"}}
"""What a container writes to its node: logs and temporary files."""


READY_SECONDS = 30
"""How long a pod behind a load balancer is ready before the next is replaced: three of the balancer's health checks."""
DRAIN_SECONDS = 150
"""From the pod's end being decided to the last new connection. A network load balancer goes on opening connections to a
target for some 120 s after it was told to stop (aws-load-balancer-controller#2366, containers-roadmap#470)."""
SHUTDOWN_SECONDS = 60
"""Then, for the requests and WebSockets that are open."""
GRACE_SECONDS = DRAIN_SECONDS + SHUTDOWN_SECONDS + 30
"""Between the end's decision and the kill."""


def one_more_first() -> dict[str, Any]:
    """A Deployment's strategy: one by one, and never fewer than there are."""
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def pod_security(user: int) -> dict[str, Any]:
    """A pod's security context: the numbered user of its image."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def spread(app: str) -> list[dict[str, Any]]:
    """Over zones and hosts, each version of a Deployment by itself; a lost zone does not keep pods from starting."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app": app}},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def apart(app: str) -> dict[str, Any]:
    """Preferably not two on one host."""
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}


def prefer(capacity: str) -> dict[str, Any]:
    """Preferably a node of this capacity (`spot`, `on-demand`); another one will do."""
    match = {"key": CAPACITY_LABEL, "operator": "In", "values": [capacity]}
    return {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 50, "preference": {"matchExpressions": [match]}}]
    }


def tolerate_spot() -> list[dict[str, Any]]:
    """The specification's toleration."""
    key, value = SPOT_TAINT
    return [{"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}]


def disruption_budget(name: str, namespace: str, max_unavailable: int | str) -> Manifest:
    """How many may be away at once in a drain. Never `minAvailable`: at the minimum it would block every drain."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(name, namespace),
        "spec": {
            "maxUnavailable": max_unavailable,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": {"app": name}},
        },
    }


def service_account(name: str, namespace: str) -> Manifest:
    """A service account; its AWS role comes by Pod Identity, and no pod needs the API server."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(name, namespace),
        "automountServiceAccountToken": False,
    }


def secret_files(name: str, namespace: str, aws_region: str, objects: Sequence[Mapping[str, Any]]) -> Manifest:
    """Secrets of Secrets Manager as files, read by the pod's own role; the driver follows their rotation."""
    return {
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": metadata(name, namespace),
        "spec": {
            "provider": "aws",
            "parameters": {
                "region": aws_region,
                "usePodIdentity": "true",
                "objects": yaml.safe_dump([dict(one) for one in objects], sort_keys=False),
            },
        },
    }


def secret_volume(name: str, provider_class: str) -> dict[str, Any]:
    """The volume that shows a `secret_files` object to a pod."""
    attributes = {"secretProviderClass": provider_class}
    csi = {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": attributes}
    return {"name": name, "csi": csi}


def empty(name: str, size: str, *, medium: str | None = None) -> dict[str, Any]:
    """Space that lives as long as the pod."""
    return {"name": name, "emptyDir": {"sizeLimit": size, **({"medium": medium} if medium else {})}}
