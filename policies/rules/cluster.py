"""Policies of what runs in the clusters: pods, namespaces, images, who may do what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from plan.record import Resource
from plan.values import Secret, is_unknown, strings_at
from policies import tokens
from policies.expect import at, items, shown, wants, wants_any
from policies.policy import Finding, Later, Setting, Violation, resource_policy, stack_policy
from policies.rules import pods
from policies.stack import Stack

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_SECRET_NAME = re.compile(r"(password|passwd|secret|token|api_?key|private_?key|credential)", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|://[^/\s:@]+:[^/\s:@]+@")
_LONG_RUNNING = (tokens.DEPLOYMENT, tokens.STATEFUL_SET, tokens.DAEMON_SET)
_STANDARD = "pod-security.kubernetes.io/enforce"
RELEASE = "kubernetes:helm.sh/v3:Release"


@resource_policy(
    tokens.NAMESPACE,
    baseline=Setting((), "namespaces that may hold pods of the baseline standard"),
    privileged=Setting(
        ("istio-system", "monitoring"), "namespaces whose charts need the node itself: Istio's CNI agent, node-exporter"
    ),
)
def namespace_pss_restricted(
    namespace: Resource, baseline: tuple[str, ...], privileged: tuple[str, ...]
) -> Iterator[Finding]:
    """A namespace that admits privileged pods gives its node, and the node's
    role, to whoever may make a pod there. (Pod Security Standards; CIS-EKS 4.2)

    Fix: components/manifests/server.py, the namespace's label pod-security.kubernetes.io/enforce.
    """
    name, labels = pods.name(namespace), at(namespace, "metadata.labels")
    found = labels.get(_STANDARD) if isinstance(labels, dict) else None
    wanted = "privileged" if name in privileged else "baseline" if name in baseline else "restricted"
    strictness = {"restricted": 2, "baseline": 1, "privileged": 0}
    if is_unknown(found) or strictness.get(str(found), -1) < strictness[wanted]:
        yield Violation(namespace, f"{_STANDARD} is {shown(found)}", wanted)


@resource_policy(
    *tokens.WORKLOADS,
    lowestUser=Setting(10_000, "lowest numeric user of a container: none of the host's own", 1),
)
def pods_restricted(workload: Resource, lowestUser: int) -> Iterator[Finding]:
    """A container with privileges, root's id, a writable root or the host's own namespaces turns a hole in the app into
    the node. (Pod Security Standards; CKV_K8S_16, 17-20, 22, 23, 26-31, 37, 38, 40)

    Fix: components/manifests/pods.py, pod_security and RESTRICTED.
    """
    spec = f"{pods.template(workload)}spec"
    yield from wants(workload, f"{spec}.automountServiceAccountToken", False)
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if at(workload, f"{spec}.{name}") not in (None, False):
            yield Violation(workload, f"{spec}.{name} is {shown(at(workload, f'{spec}.{name}'))}", f"no {name}")
    for path, container in pods.containers(workload):
        context = at(container, "securityContext")

        def own(name: str, context: Any = context) -> Any:
            """A container's own setting, or its pod's."""
            value = at(context, name) if isinstance(context, dict) else None
            return at(workload, f"{spec}.securityContext.{name}") if value is None else value

        wanted = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile.type": "RuntimeDefault",
            "capabilities.drop": ["ALL"],
        }
        for name, value in wanted.items():
            if is_unknown(own(name)) or own(name) != value:
                yield Violation(workload, f"{path}.securityContext.{name} is {shown(own(name))}", f"{shown(value)}")
        if own("privileged") not in (None, False):
            yield Violation(workload, f"{path}.securityContext.privileged is {shown(own('privileged'))}", "false")
        if extra := items(context, "capabilities.add") if isinstance(context, dict) else []:
            yield Violation(workload, f"{path}.securityContext.capabilities.add is {shown(extra)}", "none")
        user = own("runAsUser")
        if not isinstance(user, int | float) or user < lowestUser:
            yield Violation(
                workload, f"{path}.securityContext.runAsUser is {shown(user)}", f"a number from {lowestUser} on"
            )
        for index, port in enumerate(items(container, "ports")):
            if at(port, "hostPort"):
                yield Violation(workload, f"{path}.ports[{index}].hostPort is {shown(at(port, 'hostPort'))}", "none")


@resource_policy(*tokens.WORKLOADS)
def no_host_mounts(workload: Resource) -> Iterator[Finding]:
    """A pod that mounts the node's disk reads every other pod's secrets, and writes what the node runs. (Pod Security
    Standards, baseline; CKV_K8S_27)

    Fix: components/manifests, an emptyDir or a claim instead of hostPath.
    """
    path = f"{pods.template(workload)}spec.volumes"
    for index, volume in enumerate(items(workload, path)):
        if at(volume, "hostPath") is not None:
            yield Violation(
                workload, f"{path}[{index}].hostPath is {shown(at(volume, 'hostPath.path'))}", "no hostPath"
            )


@resource_policy(*tokens.WORKLOADS, required=Setting(True, "whether an image must be named by digest"))
def image_digest(workload: Resource, required: bool) -> Iterator[Finding]:
    """A tag that is moved changes what runs at the next restart, in one pod after
    the other, and no rollback brings the old image back. (CKV_K8S_14, CKV_K8S_43)

    Fix: hal9:server.image, which `make image` writes with its digest; hal9:gateway.image.
    """
    for path, container in pods.containers(workload):
        image = at(container, "image")
        if is_unknown(image):
            yield Later(workload, f"{path}.image")  # the registry's address is the cloud's to give
        elif not isinstance(image, str) or (required and not DIGEST.search(image)) or image.endswith(":latest"):
            wanted = "an image by digest, @sha256:..." if required else "an image with a tag that is not latest"
            yield Violation(workload, f"{path}.image is {shown(image)}", wanted)


@resource_policy(*tokens.WORKLOADS)
def containers_request_resources(workload: Resource) -> Iterator[Finding]:
    """Without requests the scheduler overfills nodes and the autoscaler's CPU utilisation is undefined; without a
    memory limit one leak takes the node's other pods along. (CKV_K8S_10, CKV_K8S_12, CKV_K8S_13)

    Fix: hal9:server.resources; components/manifests for the others.
    """
    for path, container in pods.containers(workload):
        for what, read in (("requests.cpu", pods.cores), ("requests.memory", pods.gib), ("limits.memory", pods.gib)):
            value = at(container, f"resources.{what}")
            if not read(value):
                yield Violation(workload, f"{path}.resources.{what} is {shown(value)}", f"a {what}")


@resource_policy(tokens.DEPLOYMENT, tokens.STATEFUL_SET)
def probes_apart(workload: Resource) -> Iterator[Finding]:
    """Without readiness traffic reaches pods that cannot answer; where liveness asks what readiness asks, a slow
    database restarts every pod at once. (CKV_K8S_8, CKV_K8S_9; EKS Best Practices)

    Fix: components/manifests, livenessProbe and readinessProbe.
    """
    spec = f"{pods.template(workload)}spec.containers"
    for index, container in enumerate(items(workload, spec)):
        if not items(container, "ports"):
            continue  # nothing is sent to it
        found = {kind: at(container, f"{kind}Probe") for kind in ("liveness", "readiness")}
        for kind, probe in found.items():
            if not probe:
                yield Violation(workload, f"{spec}[{index}].{kind}Probe is absent", f"a {kind}Probe")
        asks = [at(probe, "httpGet.path") for probe in found.values() if isinstance(probe, dict)]
        if len(asks) == 2 and asks[0] is not None and asks[0] == asks[1]:
            yield Violation(
                workload, f"{spec}[{index}] liveness and readiness both ask {asks[0]}", "two different paths"
            )


@resource_policy(tokens.DEPLOYMENT, tokens.STATEFUL_SET)
def drains_before_it_ends(workload: Resource) -> Iterator[Finding]:
    """A pod that is killed before the load balancer has forgotten it, or before
    its requests end, fails them in every rolling deploy. (EKS Best Practices)

    Fix: components/manifests, preStop below terminationGracePeriodSeconds.
    """
    spec = f"{pods.template(workload)}spec"
    grace = at(workload, f"{spec}.terminationGracePeriodSeconds")
    for index, container in enumerate(items(workload, f"{spec}.containers")):
        if not items(container, "ports"):
            continue
        path = f"{spec}.containers[{index}].lifecycle.preStop"
        if not at(workload, path):
            yield Violation(workload, f"{path} is absent", "a preStop that waits for the endpoints to be taken out")
        pause = at(workload, f"{path}.sleep.seconds")
        if isinstance(pause, int | float) and (not isinstance(grace, int | float) or grace <= pause):
            found = f"{spec}.terminationGracePeriodSeconds is {shown(grace)}"
            yield Violation(workload, found, f"more than preStop's {shown(pause)} s")


@stack_policy(tokens.DEPLOYMENT, tokens.DISRUPTION_BUDGET)
def disruption_by_max_unavailable(stack: Stack) -> Iterator[Finding]:
    """A drain without a budget takes every pod of a node group at once; minAvailable
    at the minimum blocks every drain, and so every upgrade. (Polaris; kube-score)

    Fix: components/manifests/pods.py, disruption_budget with maxUnavailable.
    """
    for budget in stack.of(tokens.DISRUPTION_BUDGET):
        highest = at(budget, "spec.maxUnavailable")
        if at(budget, "spec.minAvailable") is not None or is_unknown(highest) or highest in (None, 0, "0%", "100%"):
            found = f"maxUnavailable is {shown(at(budget, 'spec.maxUnavailable'))}"
            if at(budget, "spec.minAvailable") is not None:
                found = f"minAvailable is {shown(at(budget, 'spec.minAvailable'))}"
            yield Violation(budget, found, "maxUnavailable, between nothing and everything")
        yield from wants(budget, "spec.unhealthyPodEvictionPolicy", "AlwaysAllow")
    for workload in stack.of(tokens.DEPLOYMENT):
        labels = at(workload, "spec.template.metadata.labels")
        covered = any(
            (b.provider, pods.namespace(b)) == (workload.provider, pods.namespace(workload))
            and pods.selects(at(b, "spec.selector"), labels)
            for b in stack.of(tokens.DISRUPTION_BUDGET)
        )
        if not covered:
            yield Violation(workload, "no PodDisruptionBudget selects its pods", "one by maxUnavailable")


@resource_policy(tokens.DEPLOYMENT)
def spread_over_zones_and_hosts(workload: Resource) -> Iterator[Finding]:
    """Pods that the scheduler may pack together die together, with
    their host or their zone. (kube-score; Well-Architected REL10-BP01)

    Fix: components/manifests/pods.py, spread.
    """
    found = {at(c, "topologyKey") for c in items(workload, "spec.template.spec.topologySpreadConstraints")}
    for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname"):
        if key not in found:
            yield Violation(
                workload, f"topologySpreadConstraints lacks {key}", "a constraint for each of zone and host"
            )


@resource_policy(tokens.CONFIG_MAP, *tokens.WORKLOADS)
def no_plaintext_secret(resource: Resource) -> Iterator[Finding]:
    """A password in a ConfigMap or in an environment variable is in
    every backup, log and `kubectl describe`. (CKV_K8S_35; CIS-EKS 4.4.1)

    Fix: components/manifests/pods.py, secret_files: a file from Secrets Manager.
    """
    for path, container in pods.containers(resource) if resource.type in tokens.WORKLOADS else ():
        for index, variable in enumerate(items(container, "env")):
            place = f"{path}.env[{index}] {shown(at(variable, 'name'))}"
            if at(variable, "valueFrom.secretKeyRef") is not None:
                yield Violation(resource, f"{place} comes from a Secret", "a file")
            elif _SECRET_NAME.search(str(at(variable, "name"))) and at(variable, "value"):
                yield Violation(resource, f"{place} has a value", "a file")
        for index, source in enumerate(items(container, "envFrom")):
            if at(source, "secretRef") is not None:
                yield Violation(resource, f"{path}.envFrom[{index}] is a Secret", "a file")
    for path, text in strings_at(resource.inputs):
        if (isinstance(text, Secret) and not is_unknown(text)) or _SECRET_VALUE.search(text):
            yield Violation(resource, f"{path} holds a secret", "a file from Secrets Manager")


@resource_policy(
    tokens.ACCESS_ENTRY,
    tokens.ACCESS_POLICY,
    tokens.ROLE_OBJECT,
    tokens.CLUSTER_ROLE,
    tokens.ROLE_BINDING,
    tokens.CLUSTER_ROLE_BINDING,
)
def cluster_access_named(resource: Resource) -> Iterator[Finding]:
    """Whoever has a user's key, or takes over a pod that may do
    anything, has the cluster. (CIS-EKS 4.1.1, 4.1.3, 5.5.1; CKV_K8S_49)

    Fix: hal9:cluster.adminRoleArns, roles that people assume; components/manifests, named verbs and resources.
    """
    if resource.type in (tokens.ACCESS_ENTRY, tokens.ACCESS_POLICY):
        yield from wants(
            resource, "principalArn", None, lambda arn: ":role/" in str(arn), "principalArn a role, that people assume"
        )
        if groups := items(resource, "kubernetesGroups"):
            yield Violation(resource, f"kubernetesGroups is {shown(groups)}", "access policies alone")
    for index, rule in enumerate(items(resource, "rules")):
        for name in ("verbs", "resources", "apiGroups"):
            if "*" in items(rule, name):
                yield Violation(resource, f"rules[{index}].{name} has *", f"named {name}")
    if at(resource, "roleRef.name") == "cluster-admin":
        yield Violation(resource, "roleRef is cluster-admin", "a role of its own")
    for index, subject in enumerate(items(resource, "subjects")):
        if at(subject, "name") in ("system:anonymous", "system:unauthenticated", "system:authenticated"):
            yield Violation(resource, f"subjects[{index}] is {shown(at(subject, 'name'))}", "a named account")


@resource_policy(tokens.SERVICE, tokens.INGRESS_OBJECT)
def no_way_in_beside_the_edge(resource: Resource) -> Iterator[Finding]:
    """A Service of type LoadBalancer, or a node port, is a way in past the edge, its firewall and its limits, and a
    load balancer that Pulumi does not know. (CloudFront Developer Guide, restrict access to load balancers)

    Fix: components/manifests, type ClusterIP behind the region's own load balancers.
    """
    if resource.type == tokens.INGRESS_OBJECT:
        yield Violation(resource, "an Ingress", "the gateway's Service, behind the region's load balancer")
    elif at(resource, "spec.type") not in (None, "ClusterIP"):
        yield Violation(resource, f"spec.type is {shown(at(resource, 'spec.type'))}", "ClusterIP")
    if items(resource, "spec.externalIPs"):
        yield Violation(resource, f"spec.externalIPs is {shown(at(resource, 'spec.externalIPs'))}", "none")


@resource_policy(RELEASE)
def charts_pinned(release: Resource) -> Iterator[Finding]:
    """A chart without an exact version brings another one at the next deployment,
    to one cluster and not to the others. (CIS Software Supply Chain 3.1)

    Fix: hal9:charts.*, exact versions.
    """
    version = at(release, "version")
    if is_unknown(version) or not re.fullmatch(r"v?[0-9]+\.[0-9]+\.[0-9]+([-+][\w.+-]+)?", str(version)):
        yield Violation(release, f"version is {shown(version)}", "an exact version")
    repository = at(release, "repositoryOpts.repo")
    if repository is not None and not str(repository).startswith("https://"):
        yield Violation(release, f"repositoryOpts.repo is {shown(repository)}", "an https:// address")
    yield from wants_any(release, "chart", "a chart")


POLICIES = (
    namespace_pss_restricted,
    pods_restricted,
    no_host_mounts,
    image_digest,
    containers_request_resources,
    probes_apart,
    drains_before_it_ends,
    disruption_by_max_unavailable,
    spread_over_zones_and_hosts,
    no_plaintext_secret,
    cluster_access_named,
    no_way_in_beside_the_edge,
    charts_pinned,
)
