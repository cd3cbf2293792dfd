"""Prod's three regions as one mesh of real Envoys: a control plane a region, pods, gateways, and what befalls them."""

from __future__ import annotations

import collections
import contextlib
import copy
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from components.manifests import EAST_WEST, GATEWAY, GATEWAY_NAMESPACE, NAMESPACE, SERVER, mesh
from lab.servers.process import Process, User
from tests.cluster import discovery, names
from tests.cluster.conftest import Cluster, addresses, balancer
from tests.mesh import certificates
from tests.mesh.namespaces import HOST, PROXY_USER, Network, command_in

Object = dict[str, Any]
HERE = Path(__file__).parent
SERVICE = "10.96.0.10"
"""The cluster address of `hal9-server` in every cluster, as tests/cluster/discovery.py writes it."""
NGINX = "nginx"
"""The pod of us-west that users come through."""
NGINX_USER, SERVER_USER = 10101, 10001
SLOW_SECONDS = 2.0
"""A request that takes longer than this is called slow: twice the time that a connection may take to open."""
WITHOUT_ISTIO_PROXY = {
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_DISABLE_MX_ALPN": "true",
}
"""Switches off what Envoy of istio-proxy's own build alone understands."""


@dataclass(frozen=True)
class Asked:
    """One request: when it began, in seconds after the first, what it was, who answered what, and after how long."""

    at: float
    method: str
    status: int
    region: str
    pod: str
    took: float
    asks: str


@dataclass(frozen=True)
class Seen:
    """What users met."""

    requests: tuple[Asked, ...]

    @property
    def failed(self) -> list[Asked]:
        """Those that were not answered 200."""
        return [one for one in self.requests if one.status != 200]

    @property
    def slow(self) -> list[Asked]:
        """Those that took longer than `SLOW_SECONDS`."""
        return [one for one in self.requests if one.took > SLOW_SECONDS]

    def by_region(self, after: float = 0) -> collections.Counter[str]:
        """Answers of each region to what was asked later than so many seconds in."""
        return collections.Counter(one.region for one in self.requests if one.at >= after and one.status == 200)

    def by_pod(self) -> collections.Counter[str]:
        """Answers of each pod."""
        return collections.Counter(one.pod for one in self.requests if one.status == 200)

    def tell(self, what: str, failed: int, slow: int) -> None:
        """Print requests, failed, slow and what is allowed of each; AssertionError where it is more."""
        kinds = collections.Counter(f"{one.method} {one.status} {one.pod[:60]}" for one in self.failed)
        slowest = max((one.took for one in self.requests), default=0)
        print(
            f"\n{what}: {len(self.requests)} requests, {len(self.failed)} failed (allowed {failed}), "
            f"{len(self.slow)} slower than {SLOW_SECONDS:g} s (allowed {slow}), slowest {slowest:.1f} s"
        )
        assert self.requests
        assert len(self.failed) <= failed, kinds
        assert len(self.slow) <= slow


@dataclass
class Pod:
    """A pod: its address, what runs in it."""

    name: str
    region: str
    address: str
    envoy: Process
    app: Process | None = None
    flag: Path = field(default_factory=Path)


class Mesh:
    """Three regions; use within `with`. `pods` are the server's
    by name (`us-west-0`), `gateways` the east-west ones.
    """

    def __init__(self, clusters: Mapping[str, Cluster], discovery_tool: Path, envoy: Path, folder: Path) -> None:
        self.clusters, self.folder = clusters, folder
        self._tool, self._envoy = discovery_tool, envoy
        self._stack = contextlib.ExitStack()
        self.network = Network()
        self.pods: dict[str, Pod] = {}
        self.gateways: dict[str, Pod] = {}
        self._control: dict[str, subprocess.Popen[str]] = {}
        self._known: set[str] = set()
        self._root = certificates.authority("hal9 root")
        self._authorities = {name: certificates.authority(f"hal9 {name}", self._root) for name in clusters}
        (folder / "root.crt").write_bytes(self._root.pem())

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        topology = next(iter(self.clusters.values())).topology
        known = {balancer(topology, name): addresses(topology, name) for name in topology.regions}
        self._stack.enter_context(name_server(known))
        for number, name in enumerate(self.clusters):
            self._start_control(name, 15010 + number)
        for name in self.clusters:
            self._wait_for(name, "serving")
        for number, (name, cluster) in enumerate(self.clusters.items()):
            self._start_region(name, cluster, 15010 + number)
        for pod in [*self.pods.values(), *self.gateways.values(), self.nginx]:
            self.live(pod)

    def __exit__(self, *_: object) -> None:
        for control in self._control.values():
            control.kill()
            control.wait()
        self._stack.close()

    # --- what runs -------------------------------------------------------------------------------------------------

    def _start_control(self, name: str, port: int) -> None:
        cluster = self.clusters[name]
        topology, region = cluster.topology, cluster.topology.regions[name]
        gateways = {other.name: balancer(topology, other.name) for other in topology.others(name)}
        given = {
            "cluster": name,
            "kubernetes": yaml.safe_dump_all(discovery.running(cluster)),
            "istio": yaml.safe_dump_all([one for one in cluster.objects if ".istio.io/" in one["apiVersion"]]),
            "mesh": yaml.safe_dump(mesh.mesh_config()),
            "networks": yaml.safe_dump({"networks": mesh.networks(region, topology, gateways)}),
            "dns": [f"{HOST}:53"],
            "proxies": {},
            "ads": f"{HOST}:{port}",
            "identities": [self._identity(name, *who) for who in IDENTITIES],
        }
        (self.folder / f"{name}.json").write_text(json.dumps(given))
        log = (self.folder / f"control-{name}.log").open("w")
        self._control[name] = subprocess.Popen(
            [self._tool, "-test.run", "TestServe$", "-test.timeout", "30m"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env={
                "HOME": str(self.folder),
                "PATH": os.environ["PATH"],
                **WITHOUT_ISTIO_PROXY,
                "HAL9_DISCOVERY_INPUT": str(self.folder / f"{name}.json"),
            },
        )

    def _identity(self, region: str, namespace: str, account: str) -> Object:
        name = f"{region}-{account}"
        signed = certificates.workload(namespace, account, self._authorities[region])
        certificate, key = certificates.write(self.folder, name, signed, self._authorities[region])
        files = {"cert": str(certificate), "key": str(key), "root": str(self.folder / "root.crt")}
        return {"socket": str(self.folder / f"{name}.sock"), **files}

    def _wait_for(self, region: str, said: str, count: int = 1) -> None:
        log = self.folder / f"control-{region}.log"
        control = self._control[region]

        def there() -> bool:
            assert control.poll() is None, f"{region}'s control plane ended: {log.read_text()[-2000:]}"
            return log.read_text().count(said) >= count

        wait(there, 90, f"{region}'s control plane says {said!r}")

    def _start_region(self, name: str, cluster: Cluster, control: int) -> None:
        asked = discovery.proxies(cluster, [name])
        if name == next(iter(self.clusters)):
            nginx = asked["nginx"]
            self.network.add(NGINX, nginx["address"], caught=True)
            self.nginx = Pod(
                NGINX, name, nginx["address"], self._run_envoy(NGINX, "sidecar", nginx, name, control, GATEWAY)
            )
        for number in range(discovery.PODS):
            self.add_pod(name, number)
        balancers = addresses(cluster.topology, name)
        gateway = {**asked["east-west"], "address": balancers[0]}
        pod = f"{name}-gateway"
        self.network.add(pod, *balancers, caught=False)  # the load balancer's addresses: it only passes on
        self.gateways[name] = Pod(
            pod, name, balancers[0], self._run_envoy(pod, "router", gateway, name, control, EAST_WEST)
        )

    def add_pod(self, region: str, number: int) -> Pod:
        """One more pod of the server, its Envoy and its application; its endpoints are not told yet."""
        cluster, name = self.clusters[region], f"{region}-{number}"
        asked = {**discovery.proxies(cluster, [region])["server"], "address": discovery.pod_address(cluster, number)}
        self.network.add(name, asked["address"], caught=True)
        control = 15010 + list(self.clusters).index(region)
        envoy = self._run_envoy(name, "sidecar", asked, region, control, SERVER)
        pod = Pod(name, region, asked["address"], envoy, flag=self.folder / f"{name}-is-bad")
        self.pods[name] = pod
        self.start_app(pod)
        return pod

    def start_app(self, pod: Pod) -> None:
        """The application of a pod, started."""
        command = command_in(
            pod.name, [sys.executable, HERE / "backend.py", pod.name, pod.region, pod.flag], SERVER_USER
        )
        pod.app = Process(command, self.folder / f"app-{pod.name}.log", User.current())
        pod.app.start(lambda: self._listens(pod.name, 9000))
        self._stack.callback(pod.app.kill)

    def _listens(self, pod: str, port: int) -> bool:
        done = subprocess.run(
            command_in(pod, ["ss", "-Hltn", f"sport = :{port}"]), capture_output=True, text=True, check=False
        )
        return f":{port}" in done.stdout

    def _run_envoy(self, pod: str, kind: str, asked: Object, region: str, control: int, account: str) -> Process:
        socket_path = self.folder / f"{region}-{account}.sock"
        config = self.folder / f"{pod}.json"
        place = self.clusters[region].topology.regions[region]
        config.write_text(
            json.dumps(_bootstrap(pod, kind, asked, region, place.aws_region, place.zones[0], control, socket_path))
        )
        command = [str(self._envoy), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        envoy = Process(command_in(pod, command, PROXY_USER), self.folder / f"envoy-{pod}.log", User.current())
        envoy.start(lambda: self._listens(pod, 15000))
        self._stack.callback(envoy.kill)
        return envoy

    def restart(self, pod: Pod) -> None:
        """A pod's Envoy anew, with no memory of who failed."""
        pod.envoy.kill()
        pod.envoy.start(lambda: self._listens(pod.name, 15000))
        self.live(pod)

    def live(self, pod: Pod) -> None:
        """Wait until a pod's Envoy has all of its configuration."""
        wait(lambda: self.admin(pod.name, "/ready").strip() == "LIVE", 60, f"{pod.name}'s Envoy is live")

    def admin(self, pod: str, path: str) -> str:
        """What a pod's Envoy tells its administrator."""
        command = command_in(pod, ["curl", "-s", "-m", "5", f"http://127.0.0.1:15000{path}"])
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def refused(self) -> list[str]:
        """Configuration that an Envoy did not take."""
        everybody = [self.nginx, *self.pods.values(), *self.gateways.values()]
        told = [(one.name, self.admin(one.name, "/stats?filter=update_rejected")) for one in everybody]
        return [f"{name}: {line}" for name, text in told for line in text.splitlines() if not line.endswith(": 0")]

    # --- what users see, and what befalls pods -----------------------------------------------------------------------

    def users(
        self, region: str = "-", count: int = 1, seconds: float = 0, pause: float = 0.2, pod: str = NGINX
    ) -> Seen:
        """`count` users for so many seconds, of a region where one is given; with 0 seconds each asks once."""
        with self.asking(region, count, seconds, pause, pod) as seen:
            return seen()

    @contextlib.contextmanager
    def asking(
        self, region: str, count: int, seconds: float, pause: float = 0.2, pod: str = NGINX
    ) -> Iterator[Callable[[], Seen]]:
        """As `users`, while something happens; call what is yielded for what they saw, after their time."""
        script = [
            sys.executable,
            str(HERE / "users.py"),
            SERVICE,
            discovery.HOST,
            region,
            str(count),
            str(seconds),
            str(pause),
        ]
        user = NGINX_USER if pod == NGINX else SERVER_USER
        command = [str(part) for part in command_in(pod, script, user)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

        def seen() -> Seen:
            said = process.communicate(timeout=seconds + 90)[0]
            return Seen(tuple(Asked(*json.loads(line)) for line in said.splitlines()))

        try:
            yield seen
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def home(self, region: str, seconds: float = 60) -> None:
        """Wait until users of a region are answered by it alone, without a failure: the mesh is whole again."""

        def whole() -> bool:
            seen = self.users(region, 12)
            return set(seen.by_region()) == {region} and not seen.failed

        wait(whole, seconds, f"{region} answers its own users: {self.users(region, 12).by_region()}")

    def tell_endpoints(self, region: str, numbers: Sequence[int]) -> None:
        """The server's endpoints in a region's cluster, as the endpoint controller would write them."""
        cluster = self.clusters[region]
        running = discovery.running(cluster)
        pods = {one["metadata"]["name"]: one for one in running if one["kind"] == "Pod"}
        told = copy.deepcopy(next(one for one in running if one["kind"] == "EndpointSlice"))
        for number in numbers:
            name, address = f"{SERVER}-{number}", discovery.pod_address(cluster, number)
            if name not in pods and name not in self._known:
                self._known.add(name)
                one = copy.deepcopy(pods[f"{SERVER}-0"])
                one["metadata"]["name"] = name
                one["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
                self._put(region, one)
        told["endpoints"] = [
            {
                "addresses": [discovery.pod_address(cluster, number)],
                "conditions": {"ready": True},
                "nodeName": "node",
                "targetRef": {"kind": "Pod", "name": f"{SERVER}-{number}", "namespace": NAMESPACE},
            }
            for number in numbers
        ]
        self._put(region, told)

    def _put(self, region: str, one: Object) -> None:
        log = self.folder / f"control-{region}.log"
        before = log.read_text().count("took ")
        control = self._control[region]
        assert control.stdin is not None
        control.stdin.write(json.dumps(one) + "\n")
        control.stdin.flush()
        self._wait_for(region, "took ", before + 1)


IDENTITIES = ((GATEWAY_NAMESPACE, GATEWAY), (NAMESPACE, SERVER), (EAST_WEST, EAST_WEST))
"""Namespace and service account of everything that has an Envoy."""


@contextlib.contextmanager
def name_server(known: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Answers what is asked of DNS at the bridge's address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HOST, 53))
        thread = threading.Thread(target=_answer, args=(server, known), name="names", daemon=True)
        thread.start()
        yield
        server.sendto(b"", (HOST, 53))
        thread.join(5)


def _answer(server: socket.socket, known: Mapping[str, Sequence[str]]) -> None:
    while True:
        asked, sender = server.recvfrom(4096)
        if not asked:
            return
        server.sendto(names.answer(asked, known), sender)


def wait(until: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for something to be true; the seconds that it took. AssertionError with `what`."""
    begun = time.monotonic()
    while not until():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)
    return time.monotonic() - begun


def _bootstrap(
    pod: str, kind: str, asked: Object, region: str, aws_region: str, zone: str, control: int, secrets: Path
) -> Object:
    """What pilot-agent would write for Envoy: who it is, and where control plane and certificates are."""
    namespace = asked["namespace"]
    metadata = {
        "NAMESPACE": namespace,
        "SERVICE_ACCOUNT": asked["account"],
        "LABELS": asked["labels"],
        "CLUSTER_ID": region,
        "NETWORK": asked["network"],
        "ISTIO_VERSION": "1.31.4",
        "MESH_ID": "hal9",
        "INTERCEPTION_MODE": "REDIRECT",
        **({"REQUESTED_NETWORK_VIEW": ",".join(asked["view"])} if asked.get("view") else {}),
    }
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    http2 = {
        options: {
            "@type": f"type.googleapis.com/{options}",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }

    def static(cluster: str, address: Object) -> Object:
        ends = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
        return {
            "name": cluster,
            "type": "STATIC",
            "connect_timeout": "1s",
            "typed_extension_protocol_options": http2,
            "load_assignment": {"cluster_name": cluster, "endpoints": ends},
        }

    asks = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {
            "id": f"{kind}~{asked['address']}~{pod}.{namespace}~{namespace}.svc.cluster.local",
            "cluster": pod,
            "locality": {"region": aws_region, "zone": zone},
            "metadata": metadata,
        },
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
        "dynamic_resources": {
            "lds_config": asks,
            "cds_config": asks,
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            },
        },
        "static_resources": {
            "clusters": [
                static("xds-grpc", {"socket_address": {"address": HOST, "port_value": control}}),
                static("sds-grpc", {"pipe": {"path": str(secrets)}}),
            ]
        },
    }
