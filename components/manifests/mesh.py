"""The mesh in one cluster: who may talk, the specification's routes, and the other regions' endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.deployment import ServerConfig
from components.manifests import (
    EAST_WEST,
    GATEWAY,
    GATEWAY_NAMESPACE,
    MESH_NAMESPACE,
    NAMESPACE,
    SERVER,
    TRUST_DOMAIN,
    Manifest,
    Value,
    metadata,
)
from topology import ports
from topology.settings import Region
from topology.topology import Topology

NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
REGION_HEADER = "x-user-region"
CONNECT_SECONDS = 1
"""To open a connection. The longest round trip between the specification's regions is 0.22 s; Istio's own 10 s is how
long each user of a region that swallows packets would wait, again and again.
"""
ROUTE_SECONDS = round(ServerConfig().request_timeout_seconds) + 1
"""For the whole answer, every try included: just above the app's own deadline, so that the app says first why it took
so long. Without it a request on a connection that was open when a region vanished hangs for minutes, and its endpoint
stays healthy. It does not end a WebSocket: it runs only from a request's end.
"""
SAFE_RETRIES = {
    "attempts": 2,
    "retryOn": "connect-failure,refused-stream,reset-before-request",
    "retryRemoteLocalities": True,
}
"""Only where nothing was sent, so for POST as well. Two tries in the first priority, each at another endpoint, then one
in the next: a request to a region that is gone is answered by another before outlier detection has noticed.
"""


def _object(api: str, kind: str, name: str, namespace: str, spec: Mapping[str, Any]) -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": metadata(name, namespace), "spec": dict(spec)}


def security(topology: Topology) -> list[Manifest]:
    """Mutual TLS everywhere, nothing allowed, and then: nginx, of any region, to the server's HTTP port."""
    nginx = f"{TRUST_DOMAIN}/ns/{GATEWAY_NAMESPACE}/sa/{GATEWAY}"
    to_server = {
        "selector": {"matchLabels": {"app": SERVER}},
        "action": "ALLOW",
        "rules": [
            {
                "from": [{"source": {"principals": [nginx]}}],
                "to": [{"operation": {"ports": [str(ServerConfig().port)]}}],
            }
        ],
    }
    found = [
        _object(SECURITY, "PeerAuthentication", "default", MESH_NAMESPACE, {"mtls": {"mode": "STRICT"}}),
        _object(SECURITY, "AuthorizationPolicy", "default-deny", MESH_NAMESPACE, {}),
        _object(SECURITY, "AuthorizationPolicy", SERVER, NAMESPACE, to_server),
    ]
    if len(topology.regions) > 1:
        through = {
            "selector": {"matchLabels": {"istio": EAST_WEST}},
            "action": "ALLOW",
            "rules": [{"to": [{"operation": {"ports": [str(ports.EAST_WEST)]}}]}],
        }
        found.append(_object(SECURITY, "AuthorizationPolicy", EAST_WEST, EAST_WEST, through))
    return found


def virtual_service(topology: Topology) -> Manifest:
    """The specification's routes: a request with a region goes to that region's subset, the others by weight.

    What was sent is not sent again here: of that, nginx repeats what may be repeated.
    """

    def to(region: str, weight: int) -> dict[str, Any]:
        return {"destination": {"host": SERVER, "subset": region}, "weight": weight}

    bounds = {"timeout": f"{ROUTE_SECONDS}s", "retries": SAFE_RETRIES}
    routes: list[dict[str, Any]] = [
        {
            "match": [{"headers": {REGION_HEADER: {"exact": region.name}}}],
            "route": [to(region.name, 100)],
            **bounds,
        }
        for region in topology.ordered_regions
    ]
    split = [to(region.name, topology.weights[region.name]) for region in topology.ordered_regions]
    routes.append({"route": split, **bounds})
    return _object(NETWORKING, "VirtualService", SERVER, NAMESPACE, {"hosts": [SERVER], "http": routes})


def destination_rule(topology: Topology) -> Manifest:
    """The specification's connection pool, balancing and outlier detection, and a subset for each region.

    A subset holds every endpoint and puts its own region's first. With the specification's label as a filter it would
    hold that region's alone, and answer 503 for as long as the region is dead: neither Envoy's retries nor its locality
    failover leave the subset. So the region decides the priority instead.

    `maxEjectionPercent` is 100, not the specification's 50, as it counts over all endpoints of the subset, whatever
    their priority: docs/decisions/0009-mesh-failover.md has the figures.
    """
    policy = {
        "connectionPool": {
            "tcp": {"maxConnections": 1000, "connectTimeout": f"{CONNECT_SECONDS}s"},
            "http": {"http2MaxRequests": 1000, "maxRequestsPerConnection": 10},
        },
        "loadBalancer": {"simple": "LEAST_REQUEST"},
        "outlierDetection": {
            "consecutive5xxErrors": 5,
            "interval": "30s",
            "baseEjectionTime": "30s",
            "maxEjectionPercent": 100,
            "minHealthPercent": 50,
        },
        "tls": {"mode": "ISTIO_MUTUAL"},
    }
    spec = {"host": SERVER, "trafficPolicy": policy, "subsets": [_subset(r) for r in topology.ordered_regions]}
    return _object(NETWORKING, "DestinationRule", SERVER, NAMESPACE, spec)


def _subset(region: Region) -> dict[str, Any]:
    # By network, not by our own label: another region's endpoint is its gateway, which has no label of a pod.
    first = {"enabled": True, "failoverPriority": [f"topology.istio.io/network={region.name}"]}
    return {
        "name": region.name,
        "labels": {"app": SERVER},
        "trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST", "localityLbSetting": first}},
    }


def remote_endpoints(region: Region, topology: Topology) -> list[Manifest]:
    """`hal9-server` of every other region: an endpoint on that region's network, behind its east-west gateway.

    It has no address, only its network, whose gateway istiod knows and resolves (`networks`).
    A load balancer is known by name alone, and istiod passes over a WorkloadEntry with a name
    where a Service selects it. The Service's own selector picks these up.
    """
    return [
        _object(
            NETWORKING,
            "WorkloadEntry",
            f"{SERVER}-{other.name}",
            NAMESPACE,
            {
                "ports": {"http": ServerConfig().port},
                "labels": {
                    "app": SERVER,
                    "version": "v1",
                    "region": other.name,
                    "security.istio.io/tlsMode": "istio",
                },
                "network": other.name,
                "locality": other.aws_region,
                "serviceAccount": SERVER,
                "weight": 1,  # of what is left when a region is dead, nearly all to the pods next door
            },
        )
        for other in topology.others(region.name)
    ]


def east_west_gateway() -> Manifest:
    """Passes the other regions' connections through to our pods by their TLS name; it cannot read them."""
    server = {
        "port": {"number": ports.EAST_WEST, "name": "tls", "protocol": "TLS"},
        "tls": {"mode": "AUTO_PASSTHROUGH"},
        "hosts": ["*.local"],
    }
    spec = {"selector": {"istio": EAST_WEST}, "servers": [server]}
    return _object(NETWORKING, "Gateway", EAST_WEST, EAST_WEST, spec)


def authority(certificate: Value, key: Value, root: Value) -> Manifest:
    """The region's intermediate authority in the form that istiod takes; the root is the same in every region."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata("cacerts", MESH_NAMESPACE),
        "type": "Opaque",
        "stringData": {
            "ca-cert.pem": certificate,
            "ca-key.pem": key,
            "root-cert.pem": root,
            "cert-chain.pem": certificate,
        },
    }


def networks(region: Region, topology: Topology, gateways: Mapping[str, Value]) -> dict[str, Any]:
    """istiod's mesh networks: how each other region is reached."""
    found: dict[str, Any] = {region.name: {"endpoints": [{"fromRegistry": region.name}], "gateways": []}}
    for other in topology.others(region.name):
        found[other.name] = {
            "endpoints": [],
            "gateways": [{"address": gateways[other.name], "port": ports.EAST_WEST}],
        }
    return found


def mesh_config() -> dict[str, Any]:
    """istiod's mesh configuration."""
    tls = {"minProtocolVersion": "TLSV1_3"}
    return {
        "meshMTLS": tls,
        "accessLogFile": "",
        "enableAutoMtls": True,
        "trustDomain": TRUST_DOMAIN,
        "outboundTrafficPolicy": {"mode": "ALLOW_ANY"},
        "defaultConfig": {"holdApplicationUntilProxyStarts": False},
    }
