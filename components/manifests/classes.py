"""What a cluster's pods and claims choose from: how important a pod is, and what disk a claim gets."""

from __future__ import annotations

from components.manifests import Manifest, Value, metadata

DISK = "hal9-gp3"
"""The storage class of ours. EKS has had no default class since 1.30: a claim that names none waits for ever."""

PLATFORM, EDGE, SERVER, HEADROOM = "hal9-platform", "hal9-edge", "hal9-server", "hal9-headroom"
PRIORITIES: dict[str, tuple[int, str]] = {
    PLATFORM: (200_000, "What watches and directs the others: istiod, Prometheus, its adapter"),
    EDGE: (100_000, "What every request of the region passes through: nginx, the east-west gateway"),
    SERVER: (10_000, "hal9-server and its migrations: many, and any of them will do"),
    HEADROOM: (-10, "Room that is kept for the next pods: the first to go"),
}
"""By name: value and what for. Kubernetes' own classes for the system are far above; a pod without a class has 0; nodes
are made for a pod down to -10 (cluster-autoscaler, `expendable-pods-priority-cutoff`)."""


def storage(key: Value) -> Manifest:
    """`DISK`: gp3, encrypted under the cluster's key, made in
    the zone of the pod that first claims it, and may grow.
    """
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": metadata(DISK, None),
        "provisioner": "ebs.csi.aws.com",
        "parameters": {"type": "gp3", "encrypted": "true", "kmsKeyId": key},
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
        "reclaimPolicy": "Delete",
    }


def priorities() -> list[Manifest]:
    """The classes of importance. None is the default: a pod
    that names none is less than any that does, but headroom.
    """
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": metadata(name, None),
            "value": value,
            "globalDefault": False,
            "description": description,
        }
        for name, (value, description) in PRIORITIES.items()
    ]
