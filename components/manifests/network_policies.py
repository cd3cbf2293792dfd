"""Who may talk to whom inside a cluster: nobody, both ways, but for what is opened here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from app.deployment import ServerConfig
from components.manifests import (
    EAST_WEST,
    GATEWAY,
    GATEWAY_NAMESPACE,
    MESH_NAMESPACE,
    MIGRATE,
    MONITORING,
    NAMESPACE,
    OPERATIONS,
    SERVER,
    SYSTEM,
    Manifest,
    metadata,
)
from topology import ports
from topology.settings import Region
from topology.topology import Topology

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")


def _ports(*numbers: int, protocol: str = "TCP") -> list[dict[str, Any]]:
    return [{"port": number, "protocol": protocol} for number in numbers]


def _namespace(name: str, app: str | None = None) -> dict[str, Any]:
    peer: dict[str, Any] = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    return peer | ({"podSelector": {"matchLabels": {"app": app}}} if app else {})


def _blocks(blocks: Iterable[object]) -> list[dict[str, Any]]:
    return [{"ipBlock": {"cidr": str(block)}} for block in blocks]


def _internet() -> dict[str, Any]:
    return {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(PRIVATE)}}


def _mesh_and_names() -> list[dict[str, Any]]:
    """What every pod of the mesh needs: names and istiod."""
    names = [*_ports(53, protocol="UDP"), *_ports(53)]
    return [
        {"to": [_namespace(SYSTEM)], "ports": names},
        {"to": [_namespace(MESH_NAMESPACE)], "ports": _ports(ports.ISTIOD)},
    ]


def _policy(
    name: str, namespace: str, app: str | None, ingress: Sequence[dict[str, Any]], egress: Sequence[dict[str, Any]]
) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name, namespace),
        "spec": {
            "podSelector": {"matchLabels": {"app": app}} if app else {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": list(ingress),
            "egress": list(egress),
        },
    }


def policies(region: Region, topology: Topology) -> list[Manifest]:
    """Default deny in the namespaces that are ours, and what the server, its migrations and nginx need."""
    server, everywhere = ServerConfig(), _blocks(r.cidr for r in topology.ordered_regions)
    data = {"to": everywhere, "ports": _ports(*ports.DATASTORES)}
    scrape = [_namespace(MONITORING)]
    return [
        *(_policy("default-deny", namespace, None, [], []) for namespace in _closed(topology)),
        _policy(
            SERVER,
            NAMESPACE,
            SERVER,
            ingress=[
                {
                    "from": [_namespace(GATEWAY_NAMESPACE, GATEWAY), *_east_west(topology)],
                    "ports": _ports(server.port),
                },
                {"from": scrape, "ports": _ports(server.metrics_port, ports.SIDECAR_METRICS)},
            ],
            egress=[*_mesh_and_names(), data, {"to": [_internet()], "ports": _ports(443)}],  # 443: the token keys
        ),
        *(_policy(command, NAMESPACE, command, [], [*_mesh_and_names(), data]) for command in (MIGRATE, OPERATIONS)),
        _policy(
            GATEWAY,
            GATEWAY_NAMESPACE,
            GATEWAY,
            ingress=[
                {"from": _blocks([region.cidr]), "ports": _ports(ports.GATEWAY, ports.GATEWAY_HEALTH)},
                {"from": everywhere, "ports": _ports(ports.GATEWAY_PEERS)},
                {"from": scrape, "ports": _ports(ports.GATEWAY_HEALTH, ports.GATEWAY_COUNTS, ports.SIDECAR_METRICS)},
            ],
            egress=[
                *_mesh_and_names(),
                {"to": [_namespace(NAMESPACE, SERVER)], "ports": _ports(server.port)},
                *_to_other_regions(region, topology, ports.GATEWAY_PEERS, ports.EAST_WEST),
            ],
        ),
        *_east_west_policy(topology),
    ]


def _closed(topology: Topology) -> list[str]:
    return [NAMESPACE, GATEWAY_NAMESPACE, *([EAST_WEST] if len(topology.regions) > 1 else [])]


def _east_west(topology: Topology) -> list[dict[str, Any]]:
    return [_namespace(EAST_WEST)] if len(topology.regions) > 1 else []


def _to_other_regions(region: Region, topology: Topology, *numbers: int) -> list[dict[str, Any]]:
    others = [other.cidr for other in topology.others(region.name)]
    return [{"to": _blocks(others), "ports": _ports(*numbers)}] if others else []


def _east_west_policy(topology: Topology) -> list[Manifest]:
    if len(topology.regions) == 1:
        return []
    everywhere = _blocks(r.cidr for r in topology.ordered_regions)
    ingress = [
        {"from": everywhere, "ports": _ports(ports.EAST_WEST, ports.EAST_WEST_HEALTH)},
        {"from": [_namespace(MONITORING)], "ports": _ports(ports.SIDECAR_METRICS)},
    ]
    to_server = {"to": [_namespace(NAMESPACE, SERVER)], "ports": _ports(ServerConfig().port)}
    return [_policy(EAST_WEST, EAST_WEST, EAST_WEST, ingress, [*_mesh_and_names(), to_server])]
