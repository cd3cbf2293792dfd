"""Manifests as resources: each object in its typed class, named after its region, kind and name."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi
import pulumi_kubernetes as k8s

from components.manifests import Manifest
from topology.settings import Region

_KINDS = {
    ("v1", "ConfigMap"): k8s.core.v1.ConfigMap,
    ("v1", "Namespace"): k8s.core.v1.Namespace,
    ("v1", "Secret"): k8s.core.v1.Secret,
    ("v1", "Service"): k8s.core.v1.Service,
    ("v1", "ServiceAccount"): k8s.core.v1.ServiceAccount,
    ("apps/v1", "Deployment"): k8s.apps.v1.Deployment,
    ("autoscaling/v2", "HorizontalPodAutoscaler"): k8s.autoscaling.v2.HorizontalPodAutoscaler,
    ("batch/v1", "Job"): k8s.batch.v1.Job,
    ("networking.k8s.io/v1", "NetworkPolicy"): k8s.networking.v1.NetworkPolicy,
    ("policy/v1", "PodDisruptionBudget"): k8s.policy.v1.PodDisruptionBudget,
    ("scheduling.k8s.io/v1", "PriorityClass"): k8s.scheduling.v1.PriorityClass,
    ("storage.k8s.io/v1", "StorageClass"): k8s.storage.v1.StorageClass,
}


def declare(
    region: Region,
    manifest: Manifest,
    parent: pulumi.Resource,
    after: Iterable[pulumi.Resource] = (),
    *,
    protect: bool = False,
    minutes: int | None = None,
) -> pulumi.CustomResource:
    """The object of `manifest` in the region's cluster, made after `after`. A kind that Kubernetes itself does not have
    is a custom resource. `minutes`: how long its pods may take, where the provider's own 10 are too few."""
    api, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    place = metadata.get("namespace", "")
    name = "-".join(part for part in (region.name, kind.lower(), place, metadata["name"]) if part)
    wait = f"{minutes}m" if minutes else None
    options = pulumi.ResourceOptions(
        parent=parent,
        depends_on=list(after),
        protect=protect or None,
        custom_timeouts=pulumi.CustomTimeouts(create=wait, update=wait) if wait else None,
    )
    rest = {key: value for key, value in manifest.items() if key not in ("apiVersion", "kind")}
    typed = _KINDS.get((api, kind))
    if typed is None:
        return k8s.apiextensions.CustomResource(name, api_version=api, kind=kind, opts=options, **rest)
    resource: pulumi.CustomResource = typed(name, opts=options, **_snake(rest))
    return resource


def _snake(rest: Manifest) -> Manifest:
    """Top-level keys as the SDK's arguments: `stringData` is `string_data`; everything below is camelCase as it is."""
    return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): value for key, value in rest.items()}
