"""nginx in one cluster: its configuration, secrets, Deployment, Service and the load balancers' bindings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from app.deployment import ServerConfig
from app.sessions.cookie import NAME as SESSION_COOKIE
from components.manifests import (
    GATEWAY,
    GATEWAY_NAMESPACE,
    SERVER_HOST,
    Manifest,
    Value,
    classes,
    metadata,
    nginx,
    pods,
)
from topology import ports
from topology.settings import Region
from topology.topology import Topology

USER = 10101
"""nginx's unprivileged image runs under any number; one above 10000 is no user of a node."""
PORTS = {"https": ports.GATEWAY, "peers": ports.GATEWAY_PEERS, "health": ports.GATEWAY_HEALTH}
"""nginx's, by the names that the load balancers' bindings and the probes know them by."""
WORKERS = 1
"""nginx's processes: its limit of CPUs. `auto` is the node's, which the limit would then throttle."""
ANSWERS = "/var/run/hal9-answers"
"""Where nginx says each answer to the container that counts them."""
CONFIGURATION = "/etc/hal9/gateway/nginx.conf"
SECRETS = "/var/run/secrets/hal9-gateway"
ORIGIN_SECRET = f"{SECRETS}/origin-verify"
RESOLVER = "kube-dns.kube-system.svc.cluster.local"
HASH_ANNOTATION = "hal9.ai/configuration-sha256"


def settings(region: Region, topology: Topology, peers: Mapping[str, str]) -> nginx.Gateway:
    """What nginx's template is rendered from. `peers`: the other regions' internal load balancers, by region."""
    return nginx.Gateway(
        region=region.name,
        server_name=f"{topology.domain} {topology.origin}",
        # One address: the sidecar beside nginx spreads the requests over the pods, by the mesh's rules.
        local=(nginx.Upstream(SERVER_HOST, ServerConfig().port),),
        peers=tuple(nginx.Peer(name, host, ports.GATEWAY_PEERS) for name, host in peers.items()),
        peer_name=topology.origin,
        default_region=topology.default_region,
        countries=topology.countries,
        trusted_cidrs=(str(region.cidr),),
        address_rate=topology.gateway.address_rate,
        address_burst=topology.gateway.address_burst,
        user_rate=topology.limits.user_rate,
        user_burst=topology.limits.user_burst,
        max_body_bytes=ServerConfig().max_body_bytes,
        session_cookie=SESSION_COOKIE,
        certificate=f"{SECRETS}/tls.crt",
        key=f"{SECRETS}/tls.key",
        authority=f"{SECRETS}/ca.crt",
        origin_map="/tmp/origin.conf",
        upstream_host=SERVER_HOST,  # the mesh finds its routes by this name
        resolver=RESOLVER,
        listen=str(ports.GATEWAY),
        listen_peers=str(ports.GATEWAY_PEERS),
        listen_health=str(ports.GATEWAY_HEALTH),
        counted_log=f"{ANSWERS}/answers.sock",
        workers=str(WORKERS),
        shutdown_seconds=pods.SHUTDOWN_SECONDS,
    )


def files(region: Region, topology: Topology, peers: Mapping[str, str]) -> dict[str, str]:
    """nginx's configuration and its start script, by file name."""
    gateway = settings(region, topology, peers)
    return {
        "nginx.conf": nginx.render(gateway),
        "start.sh": nginx.start_script(gateway, CONFIGURATION, ORIGIN_SECRET),
    }


def start_hash(files: Mapping[str, str]) -> str:
    """What rolls the pods: the start script. A change of nginx.conf alone is a reload."""
    return hashlib.sha256(files["start.sh"].encode()).hexdigest()


def configuration(files: Value) -> Manifest:
    """The files as a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(GATEWAY, GATEWAY_NAMESPACE), "data": files}


def secrets(region: Region, topology: Topology) -> Manifest:
    """The edge's secret, and the certificate's JSON cut into its files."""
    paths = [{"path": f'"{name}"', "objectAlias": name} for name in ("tls.crt", "tls.key", "ca.crt")]
    objects: list[dict[str, Any]] = [
        {
            "objectName": topology.names.secret("origin-verify"),
            "objectType": "secretsmanager",
            "objectAlias": "origin-verify",
        },
        {"objectName": topology.names.secret("gateway-tls"), "objectType": "secretsmanager", "jmesPath": paths},
    ]
    return pods.secret_files(GATEWAY, GATEWAY_NAMESPACE, region.aws_region, objects)


def _container(image: Value, topology: Topology) -> dict[str, Any]:
    health = {"httpGet": {"path": "/healthz", "port": "health"}, "periodSeconds": 5, "timeoutSeconds": 2}
    quit_at, gone_at = pods.DRAIN_SECONDS, pods.SHUTDOWN_SECONDS
    drain = f"touch /tmp/draining; sleep {quit_at}; nginx -c {CONFIGURATION} -s quit; sleep {gone_at}"
    return {
        "name": GATEWAY,
        "image": image,
        "imagePullPolicy": "IfNotPresent" if "@sha256:" in topology.gateway.image else "Always",
        "command": ["/bin/sh", CONFIGURATION.replace("nginx.conf", "start.sh")],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in PORTS.items()],
        "resources": {
            "requests": {"cpu": "250m", "memory": "128Mi", **pods.DISK["requests"]},
            "limits": {"cpu": str(WORKERS), "memory": "256Mi", **pods.DISK["limits"]},
        },
        "readinessProbe": {**health, "failureThreshold": 1},
        # Alive while it accepts connections: a draining nginx must not be killed for saying that it drains.
        "livenessProbe": {"tcpSocket": {"port": "health"}, "periodSeconds": 10, "failureThreshold": 3},
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sh", "-c", drain]}}},
        "securityContext": pods.RESTRICTED,
        "volumeMounts": [
            {"name": "configuration", "mountPath": CONFIGURATION.rpartition("/")[0], "readOnly": True},
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "answers", "mountPath": ANSWERS},
        ],
    }


def _counter(image: Value, topology: Topology) -> dict[str, Any]:
    """What counts nginx's answers (app/gateway), from the server's own image. nginx serves without it."""
    return {
        "name": "counts",
        "image": image,
        "imagePullPolicy": "IfNotPresent" if "@sha256:" in topology.server.image else "Always",
        "command": ["/opt/hal9/bin/python", "-m", "app.gateway"],
        "args": [
            *("--socket", f"{ANSWERS}/answers.sock", "--port", str(ports.GATEWAY_COUNTS)),
            *(part for name in ("tls.crt", "ca.crt") for part in ("--certificate", f"{SECRETS}/{name}")),
        ],
        "ports": [{"name": "counts", "containerPort": ports.GATEWAY_COUNTS, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi", **pods.DISK["requests"]},
            "limits": {"cpu": "200m", "memory": "128Mi", **pods.DISK["limits"]},
        },
        "readinessProbe": {"tcpSocket": {"port": "counts"}, "periodSeconds": 10, "timeoutSeconds": 2},
        # The kernel takes connections for a process that hangs. Slow
        # to judge: its restart takes nginx out for a moment.
        "livenessProbe": {
            "httpGet": {"path": "/metrics", "port": "counts"},
            "periodSeconds": 30,
            "timeoutSeconds": 5,
            "failureThreshold": 5,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": pods.DRAIN_SECONDS + pods.SHUTDOWN_SECONDS}}},
        "securityContext": pods.RESTRICTED,
        "volumeMounts": [
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
            {"name": "answers", "mountPath": ANSWERS},
        ],
    }


def deployment(topology: Topology, image: Value, counter: Value, sha256: Value) -> Manifest:
    """nginx's Deployment: on-demand nodes, as every request of the region passes through it.

    `counter` is the image that counts its answers; `sha256` the start script's hash.
    """
    annotations = {
        HASH_ANNOTATION: sha256,
        "traffic.sidecar.istio.io/includeInboundPorts": "",  # what comes in is TLS of nginx's own
        "traffic.sidecar.istio.io/excludeOutboundPorts": str(ports.GATEWAY_PEERS),
        "sidecar.istio.io/proxyCPU": "250m",
        "sidecar.istio.io/proxyMemory": "256Mi",
        "sidecar.istio.io/proxyCPULimit": "2",
        "sidecar.istio.io/proxyMemoryLimit": "1Gi",
    }
    spec = {
        "serviceAccountName": GATEWAY,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pods.GRACE_SECONDS,
        "priorityClassName": classes.EDGE,
        "securityContext": pods.pod_security(USER),
        "affinity": {"podAntiAffinity": pods.apart(GATEWAY)},
        "topologySpreadConstraints": pods.spread(GATEWAY),
        "containers": [_container(image, topology), _counter(counter, topology)],
        "volumes": [
            {"name": "configuration", "configMap": {"name": GATEWAY}},
            pods.secret_volume("secrets", GATEWAY),
            pods.empty("tmp", "512Mi"),
            pods.empty("answers", "1Mi"),
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(GATEWAY, GATEWAY_NAMESPACE, labels={"app": GATEWAY}),
        "spec": {
            "replicas": topology.gateway.replicas,
            "selector": {"matchLabels": {"app": GATEWAY}},
            "strategy": pods.one_more_first(),
            "minReadySeconds": pods.READY_SECONDS,
            "template": {"metadata": {"labels": {"app": GATEWAY}, "annotations": annotations}, "spec": spec},
        },
    }


def service() -> Manifest:
    """nginx's Service, which the load balancers' bindings read its pods from."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(GATEWAY, GATEWAY_NAMESPACE, labels={"app": GATEWAY}),
        "spec": {
            "type": "ClusterIP",
            "ports": [
                # The prefix tells the mesh that this is no HTTP that it could read.
                {
                    "name": name if name == "health" else f"tcp-{name}",
                    "port": port,
                    "targetPort": port,
                    "protocol": "TCP",
                }
                for name, port in PORTS.items()
            ],
            "selector": {"app": GATEWAY},
        },
    }


def binding(name: str, namespace: str, service_name: str, port: int, target_group: Value) -> Manifest:
    """A Service's pods registered in a target group that the program owns."""
    return {
        "apiVersion": "elbv2.k8s.aws/v1beta1",
        "kind": "TargetGroupBinding",
        "metadata": metadata(name, namespace),
        "spec": {
            "targetGroupARN": target_group,
            "targetType": "ip",
            "serviceRef": {"name": service_name, "port": port},
        },
    }
