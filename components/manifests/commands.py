"""The app's commands as pods: the Job that migrates a shard, and the pod from which operators move slots.

Each has a service account of its own, and only what it needs: neither the app's pods nor the operators' see the master.
"""

from __future__ import annotations

import hashlib
from typing import Any

from components.manifests import MIGRATE, NAMESPACE, OPERATIONS, Manifest, Value, metadata, pods, server
from topology.settings import Region, Shard
from topology.topology import Topology

MIGRATION_SECONDS = 900
"""What one shard's migration may take."""


def grounds(region: Region, topology: Topology) -> list[Manifest]:
    """Both accounts with the secrets that they read: a migration's of
    every shard's owner and master, an operator's owners.
    """
    owners = [f"owner-{shard.id}" for shard in topology.shards]
    masters = [f"admin-{shard.id}" for shard in topology.shards]
    return [
        pods.service_account(MIGRATE, NAMESPACE),
        server.secrets(MIGRATE, [*owners, *masters], region, topology),
        pods.service_account(OPERATIONS, NAMESPACE),
        server.secrets(OPERATIONS, owners, region, topology),
    ]


def _container(name: str, command: list[str], topology: Topology, image: Value) -> dict[str, Any]:
    container = server.container(topology, image)
    for key in ("args", "ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle"):
        del container[key]
    return container | {
        "name": name,
        "command": command,
        "resources": {
            "requests": {"cpu": "100m", "memory": "256Mi", **pods.DISK["requests"]},
            "limits": {"cpu": "1", "memory": "512Mi", **pods.DISK["limits"]},
        },
    }


def migration(shard: Shard, topology: Topology, image: Value) -> Manifest:
    """The accounts and the schema of one shard brought up to date, in its home region, before any pod starts anywhere.

    The name changes with the image and with the accepted passwords, as
    a Job's template cannot. Its sidecar is native, so the Job ends.
    """
    accepted = ",".join(map(str, topology.credentials.database))
    version = hashlib.sha256(f"{topology.server.image} {accepted}".encode()).hexdigest()[:8]
    name = f"hal9-migrate-shard-{shard.id}-{version}"
    command = [
        "/opt/hal9/bin/python",
        "-m",
        "app.migrate",
        "--document",
        server.DOCUMENT_PATH,
        "--shard",
        str(shard.id),
    ]
    spec = server.pod(MIGRATE, _container("migrate", command, topology, image)) | {"restartPolicy": "Never"}
    labels = {"app": MIGRATE, "shard": str(shard.id)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        # A failed Job is made anew by the next `up`, not waited for.
        "metadata": metadata(name, labels=labels, annotations={"pulumi.com/replaceUnready": "true"}),
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": MIGRATION_SECONDS,
            "ttlSecondsAfterFinished": 7 * 24 * 3600,
            "template": {"metadata": {"labels": labels, "annotations": server.PAST_THE_SIDECAR}, "spec": spec},
        },
    }


def operations(topology: Topology, image: Value) -> Manifest:
    """What operators run `app.reshard` in: no pod until one is asked for, as an account
    that may change tables is not left lying about (docs/runbooks/move-slots.md).
    """
    container = _container("operations", ["/bin/sleep", "infinity"], topology, image)
    labels = {"app": OPERATIONS}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(OPERATIONS, labels=labels),
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": server.PAST_THE_SIDECAR},
                "spec": server.pod(OPERATIONS, container)
                | {"terminationGracePeriodSeconds": 5, "topologySpreadConstraints": pods.spread(OPERATIONS)},
            },
        },
    }
