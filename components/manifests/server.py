"""`hal9-server` in one cluster: its namespace, document, secrets, Deployment, Service, budget and migrations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from app.deployment import SECRETS_DIRECTORY, ServerConfig
from components.manifests import NAMESPACE, SERVER, Manifest, Value, classes, metadata, pods
from topology import ports
from topology.settings import Region
from topology.topology import Topology

USER = 10001
"""The numbered user of the image (app/Dockerfile)."""
DOCUMENT = "hal9-deployment"
DOCUMENT_DIRECTORY = "/etc/hal9/document"
"""A folder of its own: a whole mounted folder follows the
ConfigMap's changes, and /etc/hal9 has the image's CA bundle.
"""
DOCUMENT_PATH = f"{DOCUMENT_DIRECTORY}/deployment.json"
PRE_STOP_SECONDS = 5
"""Before SIGTERM: time for the endpoints that still name this pod to be taken back."""
HASH_ANNOTATION = "hal9.ai/document-sha256"
CREDENTIALS_ANNOTATION = "hal9.ai/credentials"
PAST_THE_SIDECAR = {"traffic.sidecar.istio.io/excludeOutboundPorts": ",".join(map(str, ports.DATASTORES))}
"""Postgres and Redis speak TLS of their own."""


def namespace(
    name: str = NAMESPACE,
    *,
    standard: str = "restricted",
    mesh: bool = True,
    gated: bool = False,
    labels: Mapping[str, str] | None = None,
) -> Manifest:
    """A namespace that admits pods of this Pod Security Standard alone; `mesh`: its pods get a sidecar; `gated`: a pod
    is ready when the load balancer sends to it, so that its rollout waits for that and not for a probe.
    """
    modes = {f"pod-security.kubernetes.io/{mode}": standard for mode in ("enforce", "audit", "warn")}
    sidecar = {"istio-injection": "enabled"} if mesh else {}
    gate = {"elbv2.k8s.aws/pod-readiness-gate-inject": "enabled"} if gated else {}
    found = {**modes, **sidecar, **gate, **(labels or {})}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(name, None, labels=found)}


def labels(region: Region) -> dict[str, str]:
    """What a pod is known by; `region` is what the mesh's subsets go by."""
    return {"app": SERVER, "version": "v1", "region": region.name}


def document(json: Value) -> Manifest:
    """The deployment document. A process reads it once; a change of it rolls the pods, by its hash."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(DOCUMENT),
        "data": {"deployment.json": json},
    }


def document_hash(json: str) -> str:
    """What `HASH_ANNOTATION` says: other text, other pods."""
    return hashlib.sha256(json.encode()).hexdigest()


def secret_names(topology: Topology) -> list[str]:
    """The secrets of the app, by the names of their files (app/deployment.py)."""
    names = [f"shard-{shard.id}" for shard in topology.shards]
    names += [f"{kind}-{region.name}" for region in topology.ordered_regions for kind in ("cache", "sessions")]
    return names + [f"session-key-{key.id}" for key in topology.sessions.keyring if key.state != "retired"]


def secrets(name: str, names: Iterable[str], region: Region, topology: Topology) -> Manifest:
    """Secrets as files, each named after itself, for the pods of one service account."""
    objects = [
        {"objectName": topology.names.secret(one), "objectType": "secretsmanager", "objectAlias": one} for one in names
    ]
    return pods.secret_files(name, NAMESPACE, region.aws_region, objects)


def mounts() -> list[dict[str, Any]]:
    """Where the document, the secrets and a pod's own files are."""
    return [
        {"name": "document", "mountPath": DOCUMENT_DIRECTORY, "readOnly": True},
        {"name": "secrets", "mountPath": SECRETS_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},
    ]


def volumes(account: str) -> list[dict[str, Any]]:
    """What is mounted there: the secrets are those of the pods of one service account."""
    return [
        {"name": "document", "configMap": {"name": DOCUMENT}},
        pods.secret_volume("secrets", account),
        pods.empty("tmp", "64Mi"),
    ]


def pod(account: str, container: dict[str, Any]) -> dict[str, Any]:
    """What the pods of the server and of its commands have alike: no token of Kubernetes, and one account's secrets."""
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": classes.SERVER,
        "securityContext": pods.pod_security(USER),
        "containers": [container],
        "volumes": volumes(account),
    }


def container(topology: Topology, image: Value) -> dict[str, Any]:
    """The app's container as its Deployment runs it; its commands' containers begin with it."""
    server, resources = ServerConfig(), topology.server.resources
    probe = {"timeoutSeconds": 2, "periodSeconds": 5}
    return {
        "name": SERVER,
        "image": image,
        "imagePullPolicy": "IfNotPresent" if "@sha256:" in topology.server.image else "Always",
        "args": ["--document", DOCUMENT_PATH],
        "ports": [
            {"name": "http", "containerPort": server.port, "protocol": "TCP"},
            {"name": "metrics", "containerPort": server.metrics_port, "protocol": "TCP"},
        ],
        "resources": {
            "requests": {
                "cpu": cores(resources.cpu_request),
                "memory": memory(resources.memory_request_gib),
                **pods.DISK["requests"],
            },
            "limits": {
                "cpu": cores(resources.cpu_limit),
                "memory": memory(resources.memory_limit_gib),
                **pods.DISK["limits"],
            },
        },
        # Liveness never asks a database: a slow shard must not restart every pod. Readiness does.
        "startupProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "failureThreshold": 30, **probe},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "failureThreshold": 6, **probe},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "failureThreshold": 2, **probe},
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        "securityContext": pods.RESTRICTED,
        "volumeMounts": mounts(),
    }


def cores(number: float) -> str:
    """`1`, or `100m` for a tenth of a core: what the API server writes it as."""
    return str(int(number)) if float(number).is_integer() else f"{round(number * 1000)}m"


def memory(gib: float) -> str:
    """`2Gi`, or `512Mi` where it is no whole number of GiB."""
    return f"{int(gib)}Gi" if float(gib).is_integer() else f"{round(gib * 1024)}Mi"


def credentials(topology: Topology) -> str:
    """The generations of the passwords in use, as a pod's annotation: others, other pods."""
    used = topology.credentials
    return f"database-{used.database[0]}.redis-{used.redis[0]}"


def grace_seconds() -> int:
    """preStop, then the app's own delay and drain, then some
    time to spare; above the load balancer's deregistration.
    """
    server = ServerConfig()
    return round(PRE_STOP_SECONDS + server.drain_delay_seconds + server.drain_timeout_seconds + 10)


def sidecar(topology: Topology) -> dict[str, str]:
    """The sidecar's own requests: without them the CPU utilisation that the autoscaler reads is undefined."""
    resources = topology.server.resources
    return {
        "sidecar.istio.io/proxyCPU": cores(resources.sidecar_cpu_request),
        "sidecar.istio.io/proxyMemory": memory(resources.sidecar_memory_request_gib),
        "sidecar.istio.io/proxyCPULimit": "2",
        "sidecar.istio.io/proxyMemoryLimit": "1Gi",
    }


def deployment(region: Region, topology: Topology, image: Value, sha256: Value) -> Manifest:
    """The Deployment. It names no replicas: the autoscaler does.

    `image` is the whole reference, `sha256` the document's hash. A new version takes over only as fast as its pods
    stay ready (`minReadySeconds`), and never below what runs now.
    """
    annotations = {
        HASH_ANNOTATION: sha256,
        # A process reads a password for each new connection: what a rotation rolls is what holds old ones open.
        CREDENTIALS_ANNOTATION: credentials(topology),
        **sidecar(topology),
        **PAST_THE_SIDECAR,
        # Prometheus has no certificate of the mesh.
        "traffic.sidecar.istio.io/excludeInboundPorts": str(ServerConfig().metrics_port),
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
    }
    spec = pod(SERVER, container(topology, image)) | {
        "terminationGracePeriodSeconds": grace_seconds(),
        "affinity": {"nodeAffinity": pods.prefer("spot"), "podAntiAffinity": pods.apart(SERVER)},
        "tolerations": pods.tolerate_spot(),
        "topologySpreadConstraints": pods.spread(SERVER),
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(SERVER, labels={"app": SERVER}),
        "spec": {
            "selector": {"matchLabels": {"app": SERVER}},
            "minReadySeconds": 15,
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 5,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": f"{topology.server.max_surge_percent}%", "maxUnavailable": 0},
            },
            "template": {"metadata": {"labels": labels(region), "annotations": annotations}, "spec": spec},
        },
    }


def headroom(topology: Topology, image: Value) -> Manifest:
    """Room for the next pods: pods that do nothing, ask for what a server asks for, and are the first to go.

    A server that needs the room takes it at once; what went waits, and a node
    is made for it. Of the server's own image, so that the node has it already.
    """
    room_of, resources = container(topology, image), topology.server.resources
    cpu = cores(resources.cpu_request + resources.sidecar_cpu_request)
    of_memory = memory(resources.memory_request_gib + resources.sidecar_memory_request_gib)
    for key in ("args", "ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle", "volumeMounts"):
        del room_of[key]
    room = {"cpu": cpu, "memory": of_memory, "ephemeral-storage": pods.DISK["requests"]["ephemeral-storage"]}
    room_of |= {
        "name": "room",
        "command": ["/bin/sleep", "infinity"],
        "resources": {"requests": room, "limits": room},
    }
    labels = {"app": classes.HEADROOM, "sidecar.istio.io/inject": "false"}
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "priorityClassName": classes.HEADROOM,
        "securityContext": pods.pod_security(USER),
        "affinity": {"nodeAffinity": pods.prefer("spot")},
        "tolerations": pods.tolerate_spot(),
        "topologySpreadConstraints": pods.spread(classes.HEADROOM),
        "containers": [room_of],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        # Not waited for: where there is no room, waiting for a node is what it is for.
        "metadata": metadata(
            classes.HEADROOM, labels={"app": classes.HEADROOM}, annotations={"pulumi.com/skipAwait": "true"}
        ),
        "spec": {
            "replicas": topology.autoscaling.headroom_pods,
            "selector": {"matchLabels": {"app": classes.HEADROOM}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def service() -> Manifest:
    """The specification's Service."""
    server = ServerConfig()
    named = [("http", server.port), ("metrics", server.metrics_port)]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(SERVER, labels={"app": "hal9", "version": "v1"}),
        "spec": {
            "type": "ClusterIP",
            "ports": [{"port": port, "targetPort": port, "protocol": "TCP", "name": name} for name, port in named],
            "selector": {"app": SERVER},
        },
    }
