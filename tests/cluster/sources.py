"""Charts and CRDs out of the pinned Go modules (tools/charts): the real ones, of the version that the stacks name."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tools import build

CHARTS = Path(build.__file__).parent / "charts"
ISTIO = "istio.io/istio"
_FOLDERS = {
    "base": (ISTIO, "manifests/charts/base"),
    "istiod": (ISTIO, "manifests/charts/istio-control/istio-discovery"),
    "cni": (ISTIO, "manifests/charts/istio-cni"),
    "gateway": (ISTIO, "manifests/charts/gateway"),
    "aws-load-balancer-controller": ("sigs.k8s.io/aws-load-balancer-controller", "helm/aws-load-balancer-controller"),
    "metrics-server": ("sigs.k8s.io/metrics-server", "charts/metrics-server"),
    "secrets-store-csi-driver": ("sigs.k8s.io/secrets-store-csi-driver", "charts/secrets-store-csi-driver"),
}
"""Where a chart is: module and folder. The other charts are in no Go module, and so are not judged."""


@functools.cache
def module(path: str) -> Path:
    """The folder of a pinned module's source. Raises build.GoMissing where Go is not installed."""
    if shutil.which("go") is None:
        raise build.GoMissing("go is not installed")
    done = subprocess.run(
        ["go", "mod", "download", "-json", path], cwd=CHARTS, capture_output=True, text=True, check=True, timeout=300
    )
    return Path(json.loads(done.stdout)["Dir"])


def chart(name: str) -> Path | None:
    """The folder of a chart, or None where no pinned module carries it."""
    if name not in _FOLDERS:
        return None
    package, folder = _FOLDERS[name]
    return module(package) / folder


def definitions() -> list[dict[str, Any]]:
    """Every CustomResourceDefinition that our objects need."""
    files = [module(ISTIO) / "manifests/charts/base/files/crd-all.gen.yaml"]
    files += sorted((module(_FOLDERS["aws-load-balancer-controller"][0]) / "config/crd/bases").glob("*.yaml"))
    operator = module("github.com/prometheus-operator/prometheus-operator") / "example/prometheus-operator-crd"
    files += [operator / f"monitoring.coreos.com_{kind}.yaml" for kind in ("podmonitors", "prometheusrules")]
    crds = chart("secrets-store-csi-driver")
    assert crds is not None
    files += sorted((crds / "crds").glob("*.yaml")) or sorted((crds / "templates").glob("crds/*.yaml"))
    found = [one for file in files for one in yaml.safe_load_all(file.read_text()) if one]
    return [one for one in found if one["kind"] == "CustomResourceDefinition"]
