"""Policies of what charts and objects bring into the clusters that no
pod of ours shows: Helm values, Secrets, arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from plan.record import Resource
from plan.values import Secret, is_unknown
from policies import tokens
from policies.expect import at, items, shown
from policies.policy import Finding, Setting, Violation, resource_policy
from policies.rules import pods

RELEASE = "kubernetes:helm.sh/v3:Release"
SECRET_OBJECT = "kubernetes:core/v1:Secret"
REPOSITORIES = (
    "https://aws.github.io/eks-charts",
    "https://aws.github.io/secrets-store-csi-driver-provider-aws",
    "https://istio-release.storage.googleapis.com/charts",
    "https://kubernetes-sigs.github.io/metrics-server",
    "https://kubernetes-sigs.github.io/secrets-store-csi-driver/charts",
    "https://kubernetes.github.io/autoscaler",
    "https://prometheus-community.github.io/helm-charts",
)
_NEVER = {
    "hostnetwork": (True,),
    "hostpid": (True,),
    "hostipc": (True,),
    "privileged": (True,),
    "allowprivilegeescalation": (True,),
    "runasuser": (0,),
    "runasnonroot": (False,),
    "readonlyrootfilesystem": (False,),
}
"""Values that a pod's specification must not have, by key in small letters."""
_WAYS_IN = ("LoadBalancer", "NodePort")
_SECRET_KEY = re.compile(
    r"(password|passwd|token|api_?key|private_?key|credential|secret_?key|access_?key)s?$", re.IGNORECASE
)
_SECRET_ARGUMENT = re.compile(
    r"-{0,2}[\w.-]*(password|passwd|token|api[_-]?key|private[_-]?key|credential|secret)[\w.-]*[= ]\S+", re.IGNORECASE
)
_IMAGES = frozenset(("repository", "registry", "hub", "image"))
_SECRET_VALUE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bAKIA[0-9A-Z]{16}\b|://[^/\s:@]+:[^/\s:@]+@")


@resource_policy(
    RELEASE, repositories=Setting(REPOSITORIES, "where charts may come from: the projects' own repositories")
)
def charts_harmless(release: Resource, repositories: tuple[str, ...]) -> Iterator[Finding]:
    """A chart's values reach the node, open a load balancer or carry a password as much as a pod of ours would, and no
    other policy reads them. (Pod Security Standards; CIS Software Supply Chain 3.1)

    Fix: components/manifests/charts.py; a chart of another project is named in `repositories`.
    """
    repository = at(release, "repositoryOpts.repo")
    if is_unknown(repository) or str(repository).rstrip("/") not in repositories:
        yield Violation(release, f"repositoryOpts.repo is {shown(repository)}", "one of the known projects")
    if not re.fullmatch(r"[a-z0-9-]+", str(at(release, "chart"))):
        yield Violation(release, f"chart is {shown(at(release, 'chart'))}", "a chart's name in the repository")
    for name in ("valueYamlFiles", "postrender", "devel"):
        if at(release, name):
            yield Violation(release, f"{name} is {shown(at(release, name))}", f"values written out, no {name}")
    for path, key, value in _leaves(at(release, "values"), "values"):
        low = key.lower()
        if low in _NEVER and value in _NEVER[low] and type(value) is type(_NEVER[low][0]):
            yield Violation(release, f"{path} is {shown(value)}", f"no {key} {shown(value)}")
        elif low == "hostpath" and value not in (None, {}, ""):
            yield Violation(release, f"{path} is {shown(value)}", "no path of the host")
        elif low == "type" and value in _WAYS_IN:
            yield Violation(release, f"{path} is {value}", "ClusterIP behind the region's own load balancers")
        elif low == "add" and "capabilities" in path and value:
            yield Violation(release, f"{path} is {shown(value)}", "no capability")
        elif low in _IMAGES and isinstance(value, str) and value:
            yield Violation(release, f"{path} is {shown(value)}", "the image that the chart's version names")
        elif _holds_secret(key, value):
            yield Violation(release, f"{path} holds a secret", "a file from Secrets Manager, or an existing Secret")


def _holds_secret(key: str, value: Any) -> bool:
    """Whether a value is a secret in clear by its key, or a variable of the environment by its name."""
    if isinstance(value, Mapping):
        key, value = str(value.get("name")), value.get("value")
    return isinstance(value, str) and not is_unknown(value) and _is_secret(key, value)


def _is_secret(key: str, value: str) -> bool:
    named = bool(_SECRET_KEY.search(key)) and bool(value) and not isinstance(value, Secret)
    return (
        named or bool(_SECRET_VALUE.search(value)) or bool(re.match(r"-", value) and _SECRET_ARGUMENT.fullmatch(value))
    )


def _leaves(value: Any, path: str, key: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every value inside Helm's values with its path and the last key on the way, maps and lists as well."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"{path}.{name}", str(name), inner
            yield from _deeper(inner, f"{path}.{name}", str(name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield f"{path}[{index}]", key, inner
            yield from _deeper(inner, f"{path}[{index}]", key)


def _deeper(value: Any, path: str, key: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, Mapping | list):
        yield from _leaves(value, path, key)


@resource_policy(SECRET_OBJECT)
def kubernetes_secrets_marked(secret: Resource) -> Iterator[Finding]:
    """A Secret whose content the program does not mark stands in clear
    in the state file, in previews and in logs. (Pulumi, secrets)

    Fix: wrap the value in pulumi.Output.secret where it is made (components/secrets.py).
    """
    for name in ("stringData", "data"):
        value = at(secret, name)
        for key, inner in value.items() if isinstance(value, Mapping) else ():
            if inner and not isinstance(inner, Secret) and not is_unknown(inner):
                yield Violation(secret, f"{name}.{key} is not marked as secret", "a secret")


@resource_policy(*tokens.WORKLOADS)
def no_secret_argument(workload: Resource) -> Iterator[Finding]:
    """A password among a process' arguments is read by whoever lists
    processes, and by every log of them. (CIS-EKS 5.4.1)

    Fix: components/manifests, a file from Secrets Manager.
    """
    for path, container in pods.containers(workload):
        for name in ("args", "command"):
            for index, text in enumerate(items(container, name)):
                if (
                    isinstance(text, str)
                    and not is_unknown(text)
                    and _SECRET_ARGUMENT.search(text)
                    and not re.search(r"[-_](file|path|dir|name|ttl)[= ]", text)
                ):
                    yield Violation(workload, f"{path}.{name}[{index}] holds a secret", "a file")


POLICIES = (charts_harmless, kubernetes_secrets_marked, no_secret_argument)
