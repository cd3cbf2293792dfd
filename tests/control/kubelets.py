"""Kubelets played for every node: nodes are Ready and keep their lease, pods start and end after a while."""

from __future__ import annotations

import datetime
import itertools
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx

from tests.cluster.api import Api

Object = dict[str, Any]
HEARTBEAT_SECONDS = 8.0
LEASE_SECONDS = 40
"""What kubelet asks for: after it the node controller holds a node for gone."""
_NODE = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}
_MERGE = {"Content-Type": "application/strategic-merge-patch+json"}


def _now(form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return datetime.datetime.now(datetime.UTC).strftime(form)


class Kubelets:
    """One thread for all nodes. `start_seconds` from a pod's scheduling to its readiness, `stop_seconds` to its end."""

    def __init__(self, api: Api, start_seconds: float, stop_seconds: float) -> None:
        self.start_seconds, self.stop_seconds = start_seconds, stop_seconds
        self._http = api.client()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(4, "kubelets")
        self._thread = threading.Thread(target=self._run, name="kubelets", daemon=True)
        self._nodes: dict[str, str] = {}
        self._seen: dict[str, float] = {}
        self._addresses = itertools.count()
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(30)
        self._pool.shutdown()
        self._http.close()
        assert not self.failures, self.failures[:3]

    def _run(self) -> None:
        beaten = 0.0
        while not self._stopped.wait(0.2):
            try:
                names = [one["metadata"]["name"] for one in self._list("/api/v1/nodes")]
                fresh = [name for name in names if name not in self._nodes]
                due = time.monotonic() - beaten > HEARTBEAT_SECONDS
                list(self._pool.map(self._beat, names if due else fresh))
                if due:
                    beaten = time.monotonic()
                list(self._pool.map(self._look_after, self._list("/api/v1/pods")))
            except (httpx.HTTPError, KeyError) as error:
                if not self._stopped.is_set():
                    self.failures.append(repr(error))

    def _list(self, path: str) -> list[Object]:
        answer = self._http.get(path, params={"resourceVersion": "0"})
        answer.raise_for_status()
        items: list[Object] = answer.json()["items"]
        return items

    def _beat(self, name: str) -> None:
        since = self._nodes.setdefault(name, _now())
        place = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": _now("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        merge = {"Content-Type": "application/merge-patch+json"}
        if self._http.patch(f"{place}/{name}", json={"spec": spec}, headers=merge).status_code == 404:
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}
            self._http.post(place, json=lease)
        told = [
            {
                "type": kind,
                "status": status,
                "reason": "Played",
                "message": "played",
                "lastHeartbeatTime": _now(),
                "lastTransitionTime": since,
            }
            for kind, status in _NODE.items()
        ]
        self._http.patch(f"/api/v1/nodes/{name}/status", json={"status": {"conditions": told}}, headers=_MERGE)

    def _look_after(self, pod: Mapping[str, Any]) -> None:
        metadata, now = pod["metadata"], time.monotonic()
        if pod["spec"].get("nodeName") not in self._nodes:
            return
        if metadata.get("deletionTimestamp"):
            if now - self._seen.setdefault(f"{metadata['uid']} ends", now) >= self.stop_seconds:
                gone = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
                self._http.request("DELETE", _path(pod), json=gone)
        elif (
            pod["status"].get("phase") == "Pending"
            and now - self._seen.setdefault(metadata["uid"], now) >= self.start_seconds
        ):
            self._http.patch(f"{_path(pod)}/status", json={"status": self._running(pod)}, headers=_MERGE)

    def _running(self, pod: Mapping[str, Any]) -> Object:
        number = next(self._addresses)
        address = f"10.0.{64 + number // 250 % 64}.{number % 250 + 1}"
        spec, stamp = pod["spec"], _now()

        def container(one: Mapping[str, Any], done: bool) -> Object:
            running = {"running": {"startedAt": stamp}}
            ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": stamp, "finishedAt": stamp}}
            return {
                "name": one["name"],
                "image": one["image"],
                "imageID": "",
                "ready": not done,
                "started": not done,
                "restartCount": 0,
                "state": ended if done else running,
            }

        job = spec.get("restartPolicy") == "Never"
        return {
            "phase": "Succeeded" if job else "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": "10.0.1.1",
            "startTime": pod["metadata"]["creationTimestamp"],
            "containerStatuses": [container(one, job) for one in spec["containers"]],
            "initContainerStatuses": [
                container(one, job or one.get("restartPolicy") != "Always") for one in spec.get("initContainers", [])
            ],
            "conditions": [
                {
                    "type": kind,
                    "status": "False" if job and kind != "Initialized" else "True",
                    "lastTransitionTime": stamp,
                }
                for kind in ("Initialized", "Ready", "ContainersReady")
            ],
        }


def _path(pod: Mapping[str, Any]) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
