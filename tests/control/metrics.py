"""The metrics APIs as metrics-server and prometheus-adapter serve them, from numbers that a test sets."""

from __future__ import annotations

import datetime
import functools
import http.server
import json
import ssl
import subprocess
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from lab.servers.process import free_port
from tests.cluster.api import Api
from tests.control.plane import wait

Object = dict[str, Any]
RESOURCES, CUSTOM, EXTERNAL = "metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"
VERSIONS = {RESOURCES: "v1beta1", CUSTOM: "v1beta2", EXTERNAL: "v1beta1"}


@dataclass
class Numbers:
    """What is measured: CPU (millicores) and memory (MiB) of each server container, users of the region, the floor."""

    cpu: int = 200
    memory: int = 700
    users: int = 0
    floor: int = 0


def adapter_names(release: Mapping[str, Any]) -> dict[str, list[str]]:
    """The metrics that prometheus-adapter would serve with our
    values, by API: a name that a rule changes is not there.
    """
    rules = release["values"]["rules"]
    return {
        CUSTOM: [one["name"]["as"] for one in rules["custom"]],
        EXTERNAL: [one["name"]["as"] for one in rules["external"]],
    }


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hung up: the aggregation layer tries connections and leaves them."""


class MetricsApis:
    """An extension API server behind the aggregation layer. `names`: what the custom and external APIs know.

    `users` are spread evenly over the ready pods, as the server's own gauge is.
    """

    def __init__(self, api: Api, names: Mapping[str, list[str]]) -> None:
        self.numbers = Numbers()
        self._api, self._names, self._http = api, names, api.client()
        self.port = free_port()
        me = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body = me.answer(self.path)
                raw = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                return

        self._server = _Quiet(("127.0.0.1", self.port), Handler)

    def __enter__(self) -> Self:
        folder = self._api.folder
        subprocess.run(
            [
                *"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost".split(),
                *("-keyout", folder / "metrics.key"),
                *("-out", folder / "metrics.crt"),
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "metrics.crt", folder / "metrics.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
        self._register()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._http.close()

    def _register(self) -> None:
        """As APIServices, reached by a Service that names the loopback: the aggregation layer's own way to them."""
        port = [{"port": self.port, "protocol": "TCP"}]
        loopback = {"type": "ExternalName", "externalName": "localhost", "ports": port}
        named = {"name": "metrics", "namespace": "default"}
        self._api.apply({"apiVersion": "v1", "kind": "Service", "metadata": named, "spec": loopback}, dry_run=False)
        for group, version in VERSIONS.items():
            spec = {
                "group": group,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {**named, "port": self.port},
            }
            service = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "spec": spec}
            self._api.apply({**service, "metadata": {"name": f"{version}.{group}"}}, dry_run=False)
        for group, version in VERSIONS.items():
            path = f"/apis/{group}/{version}"
            wait(functools.partial(self._answers, path), 60, lambda: "the metrics APIs behind the aggregation layer")

    def _answers(self, path: str) -> bool:
        return bool(self._api.get(path)["resources"])

    def answer(self, path: str) -> tuple[int, Object]:
        """The status and body for a path of one of the three APIs."""
        url = urllib.parse.urlsplit(path)
        selector = urllib.parse.parse_qs(url.query).get("labelSelector", [""])[0]
        match urllib.parse.unquote(url.path).strip("/").split("/"):
            case ["apis", group, version] if group in VERSIONS:
                return 200, _resource_list(group, version, self._names.get(group, []))
            case ["apis", "metrics.k8s.io", version, "namespaces", namespace, "pods"]:
                items = [self._pod_metrics(pod) for pod in self._ready(namespace, selector)]
                return 200, _list("PodMetricsList", RESOURCES, version, items)
            case ["apis", "custom.metrics.k8s.io", version, "namespaces", namespace, "pods", "*", name] if (
                name in self._names[CUSTOM]
            ):
                return 200, _list("MetricValueList", CUSTOM, version, self._users(namespace, selector, name))
            case ["apis", "external.metrics.k8s.io", version, "namespaces", _, name] if name in self._names[EXTERNAL]:
                value = {"metricName": name, "metricLabels": {}, "timestamp": _now(), "value": str(self.numbers.floor)}
                return 200, _list("ExternalMetricValueList", EXTERNAL, version, [value])
        return 404, {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": 404,
            "message": f"no {url.path}",
        }

    def _ready(self, namespace: str, selector: str) -> list[Object]:
        found = self._http.get(f"/api/v1/namespaces/{namespace}/pods", params={"labelSelector": selector})
        if found.status_code != httpx.codes.OK:
            return []
        return [one for one in found.json()["items"] if is_ready(one)]

    def _pod_metrics(self, pod: Mapping[str, Any]) -> Object:
        native = [one for one in pod["spec"].get("initContainers", []) if one.get("restartPolicy") == "Always"]
        used = {True: (f"{self.numbers.cpu}m", f"{self.numbers.memory}Mi"), False: ("5m", "60Mi")}
        containers = []
        for one in [*pod["spec"]["containers"], *native]:
            cpu, memory = used[one["name"] == "hal9-server"]
            containers.append({"name": one["name"], "usage": {"cpu": cpu, "memory": memory}})
        metadata = {key: pod["metadata"][key] for key in ("name", "namespace", "labels")}
        return {"metadata": metadata, "timestamp": _now(), "window": "15s", "containers": containers}

    def _users(self, namespace: str, selector: str, name: str) -> list[Object]:
        ready = self._ready(namespace, selector)
        return [
            {
                "describedObject": {
                    "kind": "Pod",
                    "namespace": namespace,
                    "name": pod["metadata"]["name"],
                    "apiVersion": "/v1",
                },
                "metric": {"name": name},
                "timestamp": _now(),
                "value": f"{1000 * self.numbers.users // len(ready)}m",
            }
            for pod in ready
        ]


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is ready and not being deleted."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _list(kind: str, group: str, version: str, items: list[Object]) -> Object:
    return {"kind": kind, "apiVersion": f"{group}/{version}", "metadata": {}, "items": items}


def _resource_list(group: str, version: str, names: list[str]) -> Object:
    known = {
        RESOURCES: [("pods", "PodMetrics")],
        CUSTOM: [(f"pods/{name}", "MetricValueList") for name in names],
        EXTERNAL: [(name, "ExternalMetricValueList") for name in names],
    }[group]
    resources = [
        {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get", "list"]}
        for name, kind in known
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}", "resources": resources}
