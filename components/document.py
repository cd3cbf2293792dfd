"""The deployment document of each region's pods: where each server is that the program has built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pulumi

from app.deployment import DatabaseConnection, Deployment, Endpoint, RegionalEndpoint, SessionStore
from components.database import ShardDatabase
from components.redis import RegionCache, RegionSessions
from topology.document import deployment
from topology.topology import Topology


class DeploymentDocument(pulumi.ComponentResource):
    """One region's deployment document, as far as a preview can know it: everything but the servers' names.

    Its input `document` has the document's own structure, with what only the cloud can tell as unknown leaves: there a
    preview, a diff and the policies read what changes. As one text, which the pods read, it is unknown as a whole for
    as long as one name is.

    Outputs: text, the document as JSON.
    """

    def __init__(
        self,
        region: str,
        known: Deployment,
        hosts: Mapping[str, pulumi.Output[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        self.document: dict[str, Any] = _filled(msgspec.to_builtins(known), hosts)
        super().__init__("hal9:document:DeploymentDocument", f"{region}-deployment", {"document": self.document}, opts)
        self.text = pulumi.Output.all(**hosts).apply(lambda names: _written(known, names))
        self.register_outputs({})


def deployment_documents(
    topology: Topology,
    shards: Sequence[ShardDatabase],
    caches: Mapping[str, RegionCache],
    sessions: Mapping[str, RegionSessions],
) -> dict[str, DeploymentDocument]:
    """The document of each region's pods. All say the same but for the region that they are read in."""
    hosts: dict[str, pulumi.Output[str]] = {}

    def endpoint(name: str, host: pulumi.Output[str], port: int) -> Endpoint:
        """An endpoint with a server's own name in place of its host, which is not known yet."""
        hosts[name] = host
        return Endpoint(host=name, port=port)

    connections = [
        [
            DatabaseConnection(region=place.region, endpoint=endpoint(place.name, built.hosts[place.name], built.port))
            for place in topology.instances(shard)
        ]
        for shard, built in zip(topology.shards, shards, strict=True)
    ]
    stores = {
        name: SessionStore(
            primary=endpoint(f"{name}-sessions", store.host, store.port),
            replicas=tuple(
                RegionalEndpoint(region=place, endpoint=endpoint(f"{name}-sessions-in-{place}", host, store.port))
                for place, host in store.copies.items()
            ),
        )
        for name, store in sessions.items()
    }
    known: dict[str, Any] = {
        "primaries": [first for first, *_ in connections],
        "replicas": [rest for _, *rest in connections],
        "caches": {name: endpoint(f"{name}-cache", cache.host, cache.port) for name, cache in caches.items()},
        "sessions": stores,
    }
    return {
        region.name: DeploymentDocument(region.name, deployment(topology, region.name, **known), hosts)
        for region in topology.ordered_regions
    }


def _filled(value: Any, hosts: Mapping[str, Any]) -> Any:
    """A document's builtins with each server's name replaced by its host."""
    if isinstance(value, dict):
        return {name: hosts[inner] if name == "host" else _filled(inner, hosts) for name, inner in value.items()}
    return [_filled(inner, hosts) for inner in value] if isinstance(value, (list, tuple)) else value


def _written(known: Deployment, names: Mapping[str, str]) -> str:
    return msgspec.convert(_filled(msgspec.to_builtins(known), names), Deployment).encode().decode()
