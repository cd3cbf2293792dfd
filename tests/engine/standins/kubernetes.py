"""The stand-in for Kubernetes: one set of objects a cluster, each name taken once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from tests.engine.standins.cloud import Refused
from tests.engine.standins.package import Made, Values


class Kubernetes:
    """See `Package`. A provider's configuration stands for the cluster that it speaks to."""

    name = "kubernetes"

    def scope(self, token: str, inputs: Values, config: Values) -> str:
        """See `Package.scope`: a cluster, by its provider's `clusterIdentifier`, else by its kubeconfig."""
        text = str(config.get("clusterIdentifier") or "") or str(config.get("kubeconfig") or "")
        return f"cluster {hashlib.sha1(text.encode()).hexdigest()[:12]}"

    def create(self, token: str, logical_name: str, inputs: Values, config: Values, serial: int) -> Made:
        """See `Package.create`. An object without a name gets one from its logical name, as from the real provider."""
        if token in _RELEASES:
            name, namespace = str(inputs.get("name") or logical_name), str(inputs.get("namespace") or "default")
            return Made(
                f"{namespace}/{name}", {**inputs, "status": {"name": name, "status": "deployed"}}, f"{namespace}/{name}"
            )
        metadata = dict(inputs.get("metadata") or {})
        if "name" not in metadata and "generateName" not in metadata:
            metadata["name"] = f"{logical_name}-{hashlib.sha1(str(serial).encode()).hexdigest()[:8]}"
        namespace = str(metadata.get("namespace") or "")
        if "namespace" in metadata and not namespace:
            raise Refused("metadata.namespace is empty")
        uid = hashlib.sha1(
            f"{self.scope(token, inputs, config)} {token} {metadata['name']} {serial}".encode()
        ).hexdigest()
        metadata |= {"uid": f"{uid[:8]}-{uid[8:12]}-4{uid[13:16]}-8{uid[17:20]}-{uid[20:32]}", "resourceVersion": "1"}
        made_id = f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])
        return Made(made_id, {**inputs, "metadata": metadata}, made_id)

    def update(self, token: str, before: Values, inputs: Values) -> dict[str, Any]:
        """See `Package.update`."""
        if "metadata" not in before:
            return {**before, **inputs}
        kept = {key: before["metadata"][key] for key in ("name", "uid") if key in before["metadata"]}
        version = str(int(before["metadata"]["resourceVersion"]) + 1)
        return {**inputs, "metadata": {**(inputs.get("metadata") or {}), **kept, "resourceVersion": version}}

    def replaces(self, token: str, changed: set[str]) -> set[str]:
        """A kind is what it is; the rest is updated in place."""
        return changed & {"apiVersion", "kind"}

    def functions(self) -> Mapping[str, Callable[[Values, Values], dict[str, Any]]]:
        """None: the program asks no cluster anything."""
        return {}


_RELEASES = frozenset({"kubernetes:helm.sh/v3:Release"})
