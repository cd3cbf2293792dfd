"""Pods as network namespaces on a bridge, in a network and
a mount namespace that `make test-mesh` makes for the run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

HOST = "10.255.0.1"
"""The bridge's own address: what stands for istiod and DNS."""
PROXY_USER = 1337
"""Envoy's user in every pod of Istio: its own connections are not caught again."""
_PROGRAMS = ("ip", "iptables", "iptables-restore", "setpriv", "openssl", "curl", "ss")
_CAUGHT = """*nat
:ISTIO_INBOUND - [0:0]
:ISTIO_REDIRECT - [0:0]
:ISTIO_IN_REDIRECT - [0:0]
:ISTIO_OUTPUT - [0:0]
-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15021 -j RETURN
-A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A OUTPUT -p tcp -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp ! --dport 15008 -m owner --uid-owner {user} -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner {user} -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner {user} -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -j ISTIO_REDIRECT
COMMIT
"""
"""What istio-init writes (istio-iptables -p 15001 -z 15006 -u 1337 -m REDIRECT -i '*' -b '*' -d 15090,15021,15020)."""


def absent() -> list[str]:
    """What keeps pods from being made here."""
    lacking = [f"{name} is not installed" for name in _PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        lacking.append("root is needed")
    elif [name for _, name in socket.if_nameindex()] != ["lo"]:
        lacking.append("this is not a network namespace of its own (make test-mesh makes one)")
    return lacking


class Network:
    """The bridge and the pods on it. It goes with the namespace that it is in."""

    def __init__(self) -> None:
        self._made = 0
        Path("/run/netns").mkdir(exist_ok=True)
        _run("mount", "-t", "tmpfs", "none", "/run/netns")
        for command in (
            "ip link set lo up",
            "ip link add br0 type bridge",
            "ip link set br0 up",
            f"ip addr add {HOST}/8 dev br0",
        ):
            _run(*command.split())

    def add(self, pod: str, *addresses: str, caught: bool) -> None:
        """A pod with its addresses; `caught`: its connections go through its Envoy, as istio-init has it."""
        self._made += 1
        inside = f"ip -n {pod}"
        for command in (
            f"ip netns add {pod}",
            f"ip link add v{self._made} type veth peer name eth0 netns {pod}",
            f"ip link set v{self._made} master br0 up",
            f"{inside} link set lo up",
            f"{inside} link set eth0 up",
            *(f"{inside} addr add {address}/8 dev eth0" for address in addresses),
            f"{inside} route add default via {HOST}",
        ):
            _run(*command.split())
        if caught:
            _run(*command_in(pod, ["iptables-restore"]), given=_CAUGHT.format(user=PROXY_USER))

    def drop(self, pod: str, *, vanished: bool) -> None:
        """A pod's packets are dropped, in both directions and without a word, or pass again."""
        for chain in ("INPUT", "OUTPUT"):
            rule = ["!", "-i", "lo"] if chain == "INPUT" else ["!", "-o", "lo"]
            _run(*command_in(pod, ["iptables", "-I" if vanished else "-D", chain, *rule, "-j", "DROP"]))


def command_in(pod: str, command: Sequence[str | Path], user: int | None = None) -> list[str | Path]:
    """A command that runs in a pod, as a numbered user where one is given."""
    became = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user is not None else []
    return ["ip", "netns", "exec", pod, *became, *command]


def _run(*command: str | Path, given: str = "") -> None:
    done = subprocess.run([str(part) for part in command], input=given, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr}"
