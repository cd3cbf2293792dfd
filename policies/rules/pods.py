"""What rules read from Kubernetes objects: pods inside workloads, what they ask for, and which workload is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from plan.record import Resource
from policies import tokens
from policies.expect import at, items
from policies.stack import Stack

_TEMPLATE = {tokens.POD: "", tokens.CRON_JOB: "spec.jobTemplate.spec.template."}
_UNITS = {"": 1.0, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SIDECAR = ("sidecar.istio.io/proxyCPU", "sidecar.istio.io/proxyMemory")
"""What a pod asks for on behalf of the sidecar that Istio adds to it."""


def template(workload: Resource) -> str:
    """The path of a workload's pod template, with a dot behind it; empty for a pod."""
    return _TEMPLATE.get(workload.type, "spec.template.")


def containers(workload: Resource) -> Iterator[tuple[str, Any]]:
    """Every container of a workload with its path, those that only start it included."""
    for group in ("containers", "initContainers", "ephemeralContainers"):
        path = f"{template(workload)}spec.{group}"
        for index, container in enumerate(items(workload, path)):
            yield f"{path}[{index}]", container


def cores(quantity: Any) -> float | None:
    """CPUs of a Kubernetes quantity such as `100m`; None where it is none."""
    text = str(quantity)
    if re.fullmatch(r"[0-9.]+m", text):
        return float(text[:-1]) / 1000
    return float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else None


def gib(quantity: Any) -> float | None:
    """GiB of a Kubernetes quantity such as `512Mi`; None where it is none."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMGT]i?|k|)", str(quantity))
    return float(found[1]) * _UNITS[found[2]] / 2**30 if found and found[2] in _UNITS else None


def requests(workload: Resource) -> tuple[float, float]:
    """CPUs and GiB that a workload's pod asks for, its sidecar included; 0 where a container says nothing."""
    annotations = at(workload, f"{template(workload)}metadata.annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    cpu, memory = cores(annotations.get(SIDECAR[0])) or 0.0, gib(annotations.get(SIDECAR[1])) or 0.0
    for _, container in containers(workload):
        mine = cores(at(container, "resources.requests.cpu")), gib(at(container, "resources.requests.memory"))
        if mine[0] is None or mine[1] is None:
            return 0.0, 0.0
        cpu, memory = cpu + mine[0], memory + mine[1]
    return cpu, memory


def surge(workload: Resource) -> int | None:
    """Percent of pods that a rolling update adds, rounded up by Kubernetes; its own default is 25."""
    value = at(workload, "spec.strategy.rollingUpdate.maxSurge")
    if value is None:
        return 25
    found = re.fullmatch(r"([0-9]+)%", str(value))
    return int(found[1]) if found else None


def namespace(resource: Resource) -> str:
    """The namespace that an object is in."""
    return str(at(resource, "metadata.namespace") or "default")


def name(resource: Resource) -> str:
    """An object's own name in its cluster."""
    return str(at(resource, "metadata.name") or resource.name)


def target_key(autoscaler: Resource) -> tuple[str, str, str, str]:
    """What an autoscaler scales: the cluster's provider, namespace, kind and name."""
    path = "spec.targetRef" if autoscaler.type == tokens.VERTICAL_AUTOSCALER else "spec.scaleTargetRef"
    kind = at(autoscaler, f"{path}.kind") or "Deployment"
    return autoscaler.provider, namespace(autoscaler), str(kind), str(at(autoscaler, f"{path}.name"))


def target_of(stack: Stack, autoscaler: Resource) -> Resource | None:
    """The Deployment that an autoscaler scales."""
    provider, place, kind, called = target_key(autoscaler)
    for workload in stack.of(tokens.DEPLOYMENT):
        if (workload.provider, namespace(workload), "Deployment", name(workload)) == (provider, place, kind, called):
            return workload
    return None


def selects(selector: Any, labels: Any) -> bool:
    """Whether a selector of `matchLabels` (an empty one takes all) takes an object with these labels."""
    wanted = at(selector, "matchLabels") if isinstance(selector, dict) else None
    if not wanted:
        return isinstance(selector, dict) and not selector
    return isinstance(labels, dict) and all(labels.get(key) == value for key, value in wanted.items())


def pool_size(stack: Stack) -> int | None:
    """Connections that one pod opens to one Postgres instance,
    from the deployment document; None where there is none.
    """
    for document in stack.of(tokens.DOCUMENT):
        sizes = [at(document, f"document.pools.{name}") for name in ("primarySize", "replicaSize")]
        known = [size for size in sizes if isinstance(size, int)]
        if len(known) == len(sizes):
            return max(known)
    return None
