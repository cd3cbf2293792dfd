"""Istio's own control plane on one cluster's objects: what
its Envoys would be told, as JSON (tools/istio/discovery).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from components.manifests import mesh
from tests.cluster.conftest import Cluster, addresses, balancer
from tests.cluster.names import name_server

Object = dict[str, Any]
HOST = "hal9-server.hal9.svc.cluster.local"
PORT = 9000
PODS = 3
"""Pods of `hal9-server` in the cluster that is asked."""


def pod_address(cluster: Cluster, number: int) -> str:
    """The address of one of the cluster's `hal9-server` pods."""
    return str(cluster.topology.regions[cluster.region].cidr[1000 + number])


def _pod(name: str, namespace: str, ip: str, account: str, labels: dict[str, str]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": "node", "serviceAccountName": account, "containers": [{"name": "c", "image": "i"}]},
        "status": {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def running(cluster: Cluster) -> list[Object]:
    """What would run: a node, the server's pods with their sidecars, and their endpoints."""
    region = cluster.topology.regions[cluster.region]
    server = cluster.of("Deployment", "hal9-server")[0]["spec"]["template"]["metadata"]["labels"]
    injected = {"security.istio.io/tlsMode": "istio", "topology.istio.io/network": region.name}
    place = {"topology.kubernetes.io/region": region.aws_region, "topology.kubernetes.io/zone": region.zones[0]}
    pods = [
        _pod(f"hal9-server-{n}", "hal9", pod_address(cluster, n), "hal9-server", server | injected) for n in range(PODS)
    ]
    slices = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "hal9-server",
            "namespace": "hal9",
            "labels": {"kubernetes.io/service-name": "hal9-server"},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [pod_address(cluster, n)],
                "conditions": {"ready": True},
                "nodeName": "node",
                "targetRef": {"kind": "Pod", "name": f"hal9-server-{n}", "namespace": "hal9"},
            }
            for n in range(PODS)
        ],
        "ports": [
            {"name": name, "port": port, "protocol": "TCP"} for name, port in (("http", PORT), ("metrics", 9001))
        ],
    }
    service = {**cluster.of("Service", "hal9-server")[0]}
    service["spec"] = {**service["spec"], "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"]}
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node", "labels": place}}
    return [*cluster.of("Namespace"), node, service, *pods, slices]


def proxies(cluster: Cluster, view: list[str]) -> dict[str, Object]:
    """The proxies to ask about: nginx's sidecar, a server's
    sidecar, and the east-west gateway with its network view.
    """
    region = cluster.topology.regions[cluster.region]
    server = cluster.of("Deployment", "hal9-server")[0]["spec"]["template"]["metadata"]["labels"]
    place = {"network": region.name, "region": region.aws_region, "zone": region.zones[0]}
    return {
        "nginx": {
            "type": "sidecar",
            "namespace": "hal9-gateway",
            "account": "hal9-gateway",
            "address": str(region.cidr[2000]),
            "labels": {"app": "hal9-gateway"},
            **place,
        },
        "server": {
            "type": "sidecar",
            "namespace": "hal9",
            "account": "hal9-server",
            "address": pod_address(cluster, 0),
            "labels": server,
            **place,
        },
        "east-west": {
            "type": "router",
            "namespace": "istio-eastwest",
            "account": "istio-eastwest",
            "address": str(region.cidr[2001]),
            "labels": {"app": "istio-eastwest", "istio": "istio-eastwest"},
            "view": view,
            **place,
        },
    }


class Configuration:
    """What the control plane tells one proxy."""

    def __init__(self, told: dict[str, list[Object]]) -> None:
        self.listeners, self.told_routes = told["listeners"], told["routes"]
        self.clusters = {one["name"]: one for one in told["clusters"]}
        self.endpoints = {one["clusterName"]: one.get("endpoints", []) for one in told["endpoints"]}

    def routes(self) -> list[Object]:
        """The routes of the virtual host that nginx's Host header names."""
        table = next(one for one in self.told_routes if one["name"] == str(PORT))
        host = next(one for one in table["virtualHosts"] if HOST in one["domains"])
        found: list[Object] = host["routes"]
        return found

    def by_priority(self, cluster: str) -> dict[int, set[str]]:
        """A cluster's endpoints (address:port) by Envoy's priority, 0 first."""
        found: dict[int, set[str]] = {}
        for locality in self.endpoints[cluster]:
            for one in locality.get("lbEndpoints", []):
                socket = one["endpoint"]["address"]["socketAddress"]
                found.setdefault(locality.get("priority", 0), set()).add(f"{socket['address']}:{socket['portValue']}")
        return found


def generate(
    tool: Path, cluster: Cluster, folder: Path, *, view: list[str], meshed: list[Object] | None = None
) -> dict[str, Configuration]:
    """What each of `proxies` is told, with the cluster's own Istio objects or with `meshed` in their place."""
    istio = meshed if meshed is not None else [one for one in cluster.objects if ".istio.io/" in one["apiVersion"]]
    region, topology = cluster.topology.regions[cluster.region], cluster.topology
    gateways = {other.name: balancer(topology, other.name) for other in topology.others(cluster.region)}
    known = {balancer(topology, name): addresses(topology, name) for name in topology.regions}
    given = {
        "cluster": cluster.region,
        "kubernetes": yaml.safe_dump_all(running(cluster)),
        "istio": yaml.safe_dump_all(istio),
        "mesh": yaml.safe_dump(mesh.mesh_config()),
        "networks": yaml.safe_dump({"networks": mesh.networks(region, topology, gateways)}),
        "proxies": proxies(cluster, view),
    }
    with name_server(known) as names:
        (folder / "input.json").write_text(json.dumps({**given, "dns": [names]}))
        done = subprocess.run(
            [tool, "-test.run", "TestDump"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={
                "HOME": str(folder),
                "PATH": os.environ["PATH"],
                "HAL9_DISCOVERY_INPUT": str(folder / "input.json"),
                "HAL9_DISCOVERY_OUTPUT": str(folder / "output.json"),
            },
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    told = json.loads((folder / "output.json").read_text())
    return {name: Configuration(one) for name, one in told.items()}
