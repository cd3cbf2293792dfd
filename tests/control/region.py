"""One region of prod in a control plane: its nodes as EKS would make them, its objects as rendered, its pods."""

from __future__ import annotations

import collections
import copy
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.manifests import GATEWAY, GATEWAY_NAMESPACE, NAMESPACE, SERVER, autoscaler
from tests.cluster.api import Api
from tests.cluster.conftest import Cluster
from tests.control.metrics import MetricsApis, is_ready
from tests.control.plane import Plane, wait
from topology import catalog
from topology.naming import CAPACITY_LABEL, SPOT_TAINT

Object = dict[str, Any]
POD_ADDRESSES = 58
"""Pods that an m6i.2xlarge has addresses for (the AMI's eni-max-pods.txt)."""
KUBELET_CPU, KUBELET_MEMORY_MIB = 0.09, 11 * POD_ADDRESSES + 255
"""What the AMI's bootstrap keeps for kubelet and the system of 8 vCPUs: 60, 10, 5, 5 and
then 2.5 millicores a vCPU; and of memory, with the 100 MiB below which kubelet evicts.
"""


@dataclass(frozen=True)
class Places:
    """Where pods are: how many by capacity (`on-demand`, `spot`), by zone and by host; `pending` are nowhere."""

    by_capacity: collections.Counter[str]
    by_zone: collections.Counter[str]
    by_host: collections.Counter[str]
    pending: int

    def __str__(self) -> str:
        zones = "/".join(str(self.by_zone[zone]) for zone in sorted(self.by_zone))
        capacity = ", ".join(f"{count} {name}" for name, count in sorted(self.by_capacity.items()))
        return f"{capacity}, zones {zones}, {len(self.by_host)} hosts, {self.pending} pending"


class Region:
    """A region's cluster in a running control plane."""

    def __init__(self, plane: Plane, cluster: Cluster, metrics: MetricsApis) -> None:
        self.plane, self.cluster, self.metrics = plane, cluster, metrics
        self.api: Api = plane.api
        self._http = plane.api.client()
        self._made: collections.Counter[str] = collections.Counter()

    @property
    def zones(self) -> tuple[str, ...]:
        """The region's zones by their AWS names."""
        return self.cluster.topology.regions[self.cluster.region].zones

    def add_nodes(self, capacity: str, count: int) -> None:
        """`count` more nodes, over the zones in turn."""
        for _ in range(count):
            number = self._made[capacity]
            self._made[capacity] += 1
            answer = self._http.post("/api/v1/nodes", json=self._node(capacity, number))
            assert answer.status_code == 201, answer.text

    def _node(self, capacity: str, number: int) -> Object:
        nodes = self.cluster.topology.cluster
        instance = nodes.on_demand.instance_type if capacity == "on-demand" else nodes.spot.instance_types[0]
        size = catalog.instance_size(instance)
        assert size is not None
        name, memory = f"{capacity}-{number}", round(size.memory_gib * 1024)
        has = {"cpu": str(size.vcpus), "memory": f"{memory}Mi", "pods": str(POD_ADDRESSES), "ephemeral-storage": "80Gi"}
        left = {"cpu": f"{size.vcpus - KUBELET_CPU}", "memory": f"{memory - KUBELET_MEMORY_MIB}Mi"}
        key, value = SPOT_TAINT
        labels = {
            CAPACITY_LABEL: capacity,
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": size.architecture,
            "node.kubernetes.io/instance-type": instance,
            "topology.kubernetes.io/zone": self.zones[number % len(self.zones)],
        }
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": [{"key": key, "value": value, "effect": "NoSchedule"}] if capacity == "spot" else []},
            "status": {"capacity": has, "allocatable": {**has, **left, "ephemeral-storage": "70Gi"}},
        }

    def nodes(self, capacity: str = "") -> list[str]:
        """The names of the nodes that there are, of one capacity where it is given."""
        found = self.api.get("/api/v1/nodes")["items"]
        return sorted(n["metadata"]["name"] for n in found if n["metadata"]["name"].startswith(capacity))

    def remove_nodes(self, names: Iterable[str]) -> None:
        """Nodes that are gone, without notice."""
        for name in names:
            assert self._http.delete(f"/api/v1/nodes/{name}").status_code == 200

    def mark(self, names: Iterable[str], unschedulable: bool) -> None:
        """Cordon nodes, or take that back."""
        for name in names:
            patch = {"spec": {"unschedulable": unschedulable or None}}
            headers = {"Content-Type": "application/merge-patch+json"}
            assert self._http.patch(f"/api/v1/nodes/{name}", json=patch, headers=headers).status_code == 200

    def apply(self, objects: Iterable[Mapping[str, Any]]) -> None:
        """Put objects in, with the sidecar that istiod's webhook would add to their pods."""
        for one in objects:
            self.api.apply(with_sidecar(one), dry_run=False)

    def autoscaler(self, change: Callable[[Object], None] = lambda _: None) -> None:
        """Put the autoscaler in anew, its seconds shortened as the plane's clock is; `change` alters it first."""
        one = copy.deepcopy(self.cluster.of("HorizontalPodAutoscaler", autoscaler.NAME)[0])
        change(one)
        for rules in one["spec"]["behavior"].values():
            rules["stabilizationWindowSeconds"] = round(rules["stabilizationWindowSeconds"] / self.plane.speed)
            for policy in rules["policies"]:
                policy["periodSeconds"] = max(1, round(policy["periodSeconds"] / self.plane.speed))
        self.apply([one])

    def rest(self) -> None:
        """Nobody there, the minimum of pods, the autoscaler as rendered and without a memory, no spot node."""
        self.metrics.numbers.users = self.metrics.numbers.floor = 0
        scaler = self.cluster.of("HorizontalPodAutoscaler", autoscaler.NAME)[0]
        self._http.delete(self.api.path(scaler))
        time.sleep(1)
        low = self.cluster.topology.autoscaling.min_replicas
        server = self.api.path(self.cluster.of("Deployment", SERVER)[0])
        merge = {"Content-Type": "application/merge-patch+json"}
        self._http.patch(f"{server}/scale", json={"spec": {"replicas": low}}, headers=merge).raise_for_status()
        self.mark(self.nodes(), unschedulable=False)
        self.remove_nodes(self.nodes("spot"))
        self.settle(low, 90)
        self.autoscaler()

    def pods(self, namespace: str = NAMESPACE, app: str = SERVER) -> list[Object]:
        """The pods of a workload that are not being deleted."""
        found = self.api.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}")["items"]
        return [one for one in found if not one["metadata"].get("deletionTimestamp")]

    def gateways(self) -> list[Object]:
        """nginx's pods."""
        return self.pods(GATEWAY_NAMESPACE, GATEWAY)

    def ready(self) -> int:
        """How many of the server's pods are ready, on nodes that there are."""
        there = set(self.nodes())
        return sum(is_ready(one) and one["spec"].get("nodeName") in there for one in self.pods())

    def places(self, pods: list[Object] | None = None) -> Places:
        """Where the server's pods are, or `pods`."""
        found = self.pods() if pods is None else pods
        zone_of = {n["metadata"]["name"]: n["metadata"]["labels"] for n in self.api.get("/api/v1/nodes")["items"]}
        hosts = collections.Counter(p["spec"]["nodeName"] for p in found if p["spec"].get("nodeName") in zone_of)
        capacities: collections.Counter[str] = collections.Counter()
        zones: collections.Counter[str] = collections.Counter()
        for host, count in hosts.items():
            capacities[zone_of[host][CAPACITY_LABEL]] += count
            zones[zone_of[host]["topology.kubernetes.io/zone"]] += count
        return Places(capacities, zones, hosts, len(found) - hosts.total())

    def settle(self, pods: int, seconds: float) -> float:
        """Wait until exactly so many of the server's pods are
        ready and none is on its way; the seconds that it took.
        """

        def there() -> bool:
            return len(self.pods()) == pods and self.ready() == pods

        return wait(there, seconds, lambda: f"{pods} pods: {self.ready()} of {len(self.pods())} ready; {self.places()}")

    def drain(self, names: list[str], seconds: float) -> tuple[float, int, collections.Counter[int]]:
        """Cordon nodes and evict the server's pods, as a node group's update does.

        The seconds that it took, the fewest ready pods meanwhile, and the API server's answers by status.
        """
        self.mark(names, unschedulable=True)
        begun, fewest, answers = time.monotonic(), self.ready(), collections.Counter[int]()
        while left := [one for one in self.pods() if one["spec"].get("nodeName") in names]:
            assert time.monotonic() - begun < seconds, f"{len(left)} pods are still there: {dict(answers)}"
            for pod in left:
                name = pod["metadata"]["name"]
                answer = self._http.post(
                    f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction",
                    json={"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}},
                )
                answers[answer.status_code] += 1
                if answer.status_code == 429:  # the budget is used up for now
                    break
            fewest = min(fewest, self.ready())
            time.sleep(0.2)
        return time.monotonic() - begun, fewest, answers

    def refusals(self) -> list[str]:
        """What admission or the scheduler's quotas refused to controllers: pods that were never made."""
        events = self.api.get("/api/v1/events?fieldSelector=reason%3DFailedCreate")["items"]
        return [f"{one['involvedObject']['name']}: {one['message']}" for one in events]


def with_sidecar(manifest: Mapping[str, Any]) -> Object:
    """A workload with the native sidecar that istiod's webhook would add, with the requests of its annotations.

    Whether the real sidecar is admitted is asked in tests/cluster,
    with istioctl's own injection; here it takes its room.
    """
    found: Object = copy.deepcopy(dict(manifest))
    template = found.get("spec", {}).get("template", {})
    annotations = template.get("metadata", {}).get("annotations", {})
    if found["kind"] not in ("Deployment", "Job") or not any("istio.io" in key for key in annotations):
        return found

    def asked(name: str, otherwise: str) -> str:
        return str(annotations.get(f"sidecar.istio.io/{name}", otherwise))

    sidecar = {
        "name": "istio-proxy",
        "image": "registry.istio.io/release/proxyv2:test",
        "restartPolicy": "Always",
        "resources": {
            "requests": {"cpu": asked("proxyCPU", "100m"), "memory": asked("proxyMemory", "128Mi")},
            "limits": {"cpu": asked("proxyCPULimit", "2"), "memory": asked("proxyMemoryLimit", "1Gi")},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 1337,
        },
    }
    template["spec"].setdefault("initContainers", []).append(sidecar)
    return found
