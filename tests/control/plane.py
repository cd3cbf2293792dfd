"""A whole control plane for a test: etcd, API server, every controller, the scheduler. No node of it is real."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from lab.servers.process import Process, User
from tests.cluster.api import Api, Refused, api_server
from tools import build

SYNC_SECONDS = 15
"""How often the autoscaling controller looks, where nothing else is said (kube-controller-manager)."""
CPU_INITIALIZATION_SECONDS, READINESS_SECONDS = 300, 30
"""For how long the autoscaling controller holds a young pod's
CPU and readiness for a start (kube-controller-manager).
"""


class Plane:
    """A running control plane. `speed`: how many times as fast as on a wall its autoscaling controller's clock goes."""

    def __init__(self, api: Api, speed: float) -> None:
        self.api, self.speed = api, speed
        self._me = User.current()
        self._programs: list[Process] = []

    def start(self) -> None:
        """Start controllers and scheduler."""
        config = f"--kubeconfig={self.api.kubeconfig()}"
        alone = ["--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000"]
        autoscaling = [
            f"--horizontal-pod-autoscaler-sync-period={SYNC_SECONDS / self.speed}s",
            f"--horizontal-pod-autoscaler-cpu-initialization-period={CPU_INITIALIZATION_SECONDS / self.speed}s",
            f"--horizontal-pod-autoscaler-initial-readiness-delay={READINESS_SECONDS / self.speed}s",
        ]
        key = f"--service-account-private-key-file={self.api.folder / 'accounts.key'}"
        self._run("kube-controller-manager", config, *alone, *autoscaling, key)
        self._run("kube-scheduler", config, *alone)

    def _run(self, name: str, *arguments: str) -> None:
        program = Process([build.binary(name), *arguments], self.api.folder / f"{name}.log", self._me)
        program.start(lambda: True)
        self._programs.append(program)

    def stop(self) -> None:
        """Stop what `start` started."""
        for program in self._programs:
            program.stop()


@contextlib.contextmanager
def plane(folder: Path, speed: float) -> Iterator[Plane]:
    """A control plane in `folder`, gone at the end. Raises build.GoMissing where its programs are not built."""
    for name in ("kube-controller-manager", "kube-scheduler"):
        build.binary(name)
    with api_server(folder) as api:
        running = Plane(api, speed)
        running.start()
        try:
            yield running
        finally:
            running.stop()


def wait(until: Callable[[], bool], seconds: float, what: Callable[[], str]) -> float:
    """Wait for something to be true; how long it took, in seconds.
    AssertionError with what there is where it does not come.
    """
    begun = time.monotonic()
    while True:
        with contextlib.suppress(httpx.HTTPError, Refused, KeyError):
            if until():
                return time.monotonic() - begun
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what()}"
        time.sleep(0.3)
