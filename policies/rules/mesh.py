"""Policies of who may talk to whom in the clusters: network policies and the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from plan.record import Resource
from plan.values import is_unknown
from policies import tokens
from policies.expect import at, items, shown, wants
from policies.policy import Finding, Setting, Violation, resource_policy, stack_policy
from policies.rules import pods
from policies.stack import Stack


@stack_policy(tokens.NAMESPACE, tokens.NETWORK_POLICY)
def network_default_deny(stack: Stack) -> Iterator[Finding]:
    """In a namespace without a default deny, any pod that is taken over
    reaches every other, and the internet. (CIS-EKS 4.3.2; CKV2_K8S_6)

    Fix: components/manifests/network_policies.py.
    """
    for provider, name in sorted({(w.provider, pods.namespace(w)) for w in stack.of(*tokens.WORKLOADS)}):
        denied: set[Any] = set()
        for policy in stack.of(tokens.NETWORK_POLICY):
            mine = (policy.provider, pods.namespace(policy)) == (provider, name)
            if mine and at(policy, "spec.podSelector") == {}:
                ways = set(items(policy, "spec.policyTypes"))
                denied |= {way for way in ways if not items(policy, f"spec.{str(way).lower()}")}
        if missing := {"Ingress", "Egress"} - denied:
            about = next(w for w in stack.of(*tokens.WORKLOADS) if (w.provider, pods.namespace(w)) == (provider, name))
            yield Violation(
                about, f"namespace {name} denies no {' and no '.join(sorted(missing))}", "a default deny both ways"
            )


@resource_policy(tokens.NETWORK_POLICY)
def network_policy_names_peers(policy: Resource) -> Iterator[Finding]:
    """A network policy that opens a port to everybody is as good as none. (CIS-EKS 4.3.2)

    Fix: components/manifests/network_policies.py, name who and which ports.
    """
    for way, peer in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(items(policy, f"spec.{way}")):
            if not items(rule, peer):
                yield Violation(policy, f"spec.{way}[{index}].{peer} is anybody", "named peers")
            for place, one in enumerate(items(rule, peer)):
                block = at(one, "ipBlock.cidr")
                if block is not None and way == "ingress" and _is_wide(block):
                    yield Violation(policy, f"spec.{way}[{index}].{peer}[{place}] is {shown(block)}", "named peers")
                if one == {}:
                    yield Violation(policy, f"spec.{way}[{index}].{peer}[{place}] is anybody", "named peers")
            if not items(rule, "ports"):
                yield Violation(policy, f"spec.{way}[{index}].ports is every port", "named ports")


@stack_policy(tokens.PEER_AUTHENTICATION)
def mesh_mtls_strict(stack: Stack) -> Iterator[Finding]:
    """Where the mesh takes plaintext, whoever is on the network reads
    and forges requests as any service. (Istio security, mutual TLS)

    Fix: components/manifests/mesh.py, PeerAuthentication STRICT.
    """
    for policy in stack.of(tokens.PEER_AUTHENTICATION):
        yield from wants(policy, "spec.mtls.mode", "STRICT")
        ports = at(policy, "spec.portLevelMtls")
        for port, setting in ports.items() if isinstance(ports, dict) else ():
            if at(setting, "mode") != "STRICT":
                yield Violation(policy, f"spec.portLevelMtls.{port}.mode is {shown(at(setting, 'mode'))}", "STRICT")
    for provider in _meshes(stack):
        whole = [
            p
            for p in stack.of(tokens.PEER_AUTHENTICATION)
            if p.provider == provider and pods.namespace(p) == "istio-system" and not at(p, "spec.selector")
        ]
        if not whole:
            about = stack.by_urn.get(provider)
            yield Violation(about, "no PeerAuthentication holds for the whole mesh", "one in istio-system, STRICT")


@resource_policy(tokens.DESTINATION_RULE)
def mesh_calls_with_mtls(rule: Resource) -> Iterator[Finding]:
    """A DestinationRule that turns TLS off sends users' requests in
    clear, or is refused by every STRICT pod. (Istio security, mutual TLS)

    Fix: components/manifests/mesh.py, trafficPolicy.tls ISTIO_MUTUAL.
    """
    paths = [
        "spec.trafficPolicy",
        *(f"spec.subsets[{i}].trafficPolicy" for i, _ in enumerate(items(rule, "spec.subsets"))),
    ]
    paths += [
        f"{path}.portLevelSettings[{i}]"
        for path in paths
        for i, _ in enumerate(items(rule, f"{path}.portLevelSettings"))
    ]
    for path in paths:
        mode = at(rule, f"{path}.tls.mode")
        if is_unknown(mode) or mode not in (None, "ISTIO_MUTUAL"):
            yield Violation(rule, f"{path}.tls.mode is {shown(mode)}", "ISTIO_MUTUAL")


WIDEST = 8
"""Prefix below which a block is the world, cut in parts or not."""


def _is_wide(block: Any) -> bool:
    try:
        return ip_network(str(block)).prefixlen < WIDEST
    except ValueError:
        return True  # unknown, or none


_AROUND = (
    "excludeInboundPorts",
    "excludeOutboundPorts",
    "excludeOutboundIPRanges",
    "includeInboundPorts",
    "includeOutboundIPRanges",
)
_INJECT = "sidecar.istio.io/inject"


@resource_policy(
    *tokens.WORKLOADS,
    tokens.NAMESPACE,
    meshed=Setting(("hal9",), "namespaces whose pods are in the mesh"),
    around=Setting(("5432", "6379", "9001", "9443"), "ports with a TLS of their own, or that only Prometheus asks"),
    silent=Setting(("hal9-headroom",), "workloads that hold room for others: they send and answer nothing"),
)
def mesh_leaves_none_out(
    resource: Resource, meshed: tuple[str, ...], around: tuple[str, ...], silent: tuple[str, ...]
) -> Iterator[Finding]:
    """A pod without its sidecar, or a port that goes around it, has no mutual TLS and no authorization, and looks like
    the others. (Istio security best practices, traffic capture)

    Fix: components/manifests/pods.py and components/manifests/server.py,
    no exclusion; the namespace's label istio-injection.
    """
    if resource.type == tokens.NAMESPACE:
        labels = at(resource, "metadata.labels")
        labels = labels if isinstance(labels, dict) else {}
        if pods.name(resource) in meshed and (
            labels.get("istio-injection", "enabled" if "istio.io/rev" in labels else None) != "enabled"
            or labels.get("istio.io/dataplane-mode") == "none"
        ):
            yield Violation(resource, f"istio-injection is {shown(labels.get('istio-injection'))}", "enabled")
        return
    if pods.namespace(resource) not in meshed or pods.name(resource) in silent:
        return
    for kind in ("labels", "annotations"):
        held = at(resource, f"{pods.template(resource)}metadata.{kind}")
        for name, value in held.items() if isinstance(held, dict) else ():
            if name == _INJECT and str(value).lower() != "true":
                yield Violation(resource, f"{kind} {name} is {shown(value)}", "the sidecar")
            elif (
                name.startswith("traffic.sidecar.istio.io/")
                and name.rpartition("/")[2] in _AROUND
                and not _passes(name, value, around)
            ):
                yield Violation(resource, f"{kind} {name} is {shown(value)}", "every port through the sidecar")
    if at(resource, f"{pods.template(resource)}spec.hostNetwork"):
        yield Violation(resource, "hostNetwork has no sidecar", "the pod's own network")


def _passes(name: str, value: Any, around: tuple[str, ...]) -> bool:
    ports = [port.strip() for port in str(value).split(",") if port.strip()]
    return not is_unknown(value) and name.endswith("Ports") and all(port in around for port in ports)


@stack_policy(tokens.AUTHORIZATION)
def mesh_default_deny(stack: Stack) -> Iterator[Finding]:
    """Without a default deny every service of the mesh may call every
    other: one that is taken over calls all. (Istio security best practices)

    Fix: components/manifests/mesh.py, an AuthorizationPolicy with an empty spec in istio-system.
    """
    for provider in _meshes(stack):
        denies = [
            p
            for p in stack.of(tokens.AUTHORIZATION)
            if p.provider == provider and pods.namespace(p) == "istio-system" and not at(p, "spec")
        ]
        if not denies:
            about = stack.by_urn.get(provider)
            yield Violation(about, "no AuthorizationPolicy denies by default", "one with an empty spec in istio-system")


@stack_policy(tokens.AUTHORIZATION)
def mesh_admits_named_callers(stack: Stack) -> Iterator[Finding]:
    """An ALLOW without a caller's identity lets strangers in: anybody
    who reaches the port. (Istio security best practices)

    Fix: components/manifests/mesh.py, from.source.principals.
    """
    for policy in stack.of(tokens.AUTHORIZATION):
        if at(policy, "spec.action") not in (None, "ALLOW"):
            continue
        for index, rule in enumerate(items(policy, "spec.rules")):
            sources = [at(one, "source") for one in items(rule, "from")]
            callers = [caller for source in sources for caller in items(source, "principals")]
            if wide := [caller for caller in callers if "*" in str(caller)]:
                yield Violation(policy, f"spec.rules[{index}] admits {shown(wide[0])}", "named principals")
            elif (not sources or not all(items(s, "principals") for s in sources)) and not _passes_through(
                stack, policy
            ):
                yield Violation(policy, f"spec.rules[{index}] names no principals", "named principals")


def _passes_through(stack: Stack, policy: Resource) -> bool:
    """Whether a policy is for a gateway that only passes TLS on: it
    cannot know the caller, whom the pod behind it checks.
    """
    labels = at(policy, "spec.selector.matchLabels")
    return any(
        (g.provider, pods.namespace(g)) == (policy.provider, pods.namespace(policy))
        and at(g, "spec.selector") == labels
        and all(at(server, "tls.mode") == "AUTO_PASSTHROUGH" for server in items(g, "spec.servers"))
        for g in stack.of("kubernetes:networking.istio.io/v1:Gateway")
    )


def _meshes(stack: Stack) -> list[str]:
    """The clusters (by provider) that have a mesh: those with any of Istio's objects, or that a server runs in."""
    kinds = (tokens.PEER_AUTHENTICATION, tokens.AUTHORIZATION, tokens.DESTINATION_RULE, tokens.AUTOSCALER)
    return sorted({resource.provider for resource in stack.of(*kinds)})


POLICIES = (
    network_default_deny,
    network_policy_names_peers,
    mesh_mtls_strict,
    mesh_calls_with_mtls,
    mesh_leaves_none_out,
    mesh_default_deny,
    mesh_admits_named_callers,
)
