"""What runs in a cluster, as Kubernetes objects: pure functions of the topology that return plain manifests.

Nothing here knows of Pulumi. A value that only the cloud can give is handed in and put in its place untouched, so the
program passes its outputs and a test passes text.
"""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]
"""A Kubernetes object, as its YAML would be."""
Value = Any
"""Text that may not be known yet: a string, or an output of the program that resolves to one."""

SERVER = "hal9-server"
NAMESPACE = "hal9"
MIGRATE = "hal9-migrate"
OPERATIONS = "hal9-operations"
GATEWAY = "hal9-gateway"
GATEWAY_NAMESPACE = "hal9-gateway"
EAST_WEST = "istio-eastwest"
MESH_NAMESPACE = "istio-system"
MONITORING = "monitoring"
SYSTEM = "kube-system"
SERVER_HOST = f"{SERVER}.{NAMESPACE}.svc.cluster.local"
TRUST_DOMAIN = "cluster.local"


def metadata(name: str, namespace: str | None = NAMESPACE, **more: Any) -> dict[str, Any]:
    """An object's metadata; `labels` and `annotations` by keyword."""
    place = {} if namespace is None else {"namespace": namespace}
    return {"name": name, **place, **more}
