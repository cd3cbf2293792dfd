"""The Kubernetes objects of a plan as YAML files: a folder
for each cluster, in the order in which they can be applied.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from plan import files
from plan.errors import PlanError
from plan.record import Plan, Resource
from plan.values import Marker, Secret

INDEX = ".written-by-plan"
"""Lists the files that the last run wrote, so that the next one replaces those and no other."""

FIRST = ("CustomResourceDefinition", "Namespace")
RELEASE = "kubernetes:helm.sh/v3:Release"
_ORDER = ("apiVersion", "kind", "metadata", "spec")


def manifests(plan: Plan) -> dict[str, str]:
    """Each object's YAML by its path, `<provider's name>/<stage>-<kind>-<namespace>-<name>.yaml`.

    Stage 0 are definitions and namespaces; every other object has a later stage than all that it depends on. Helm
    releases are no objects; their chart and values are in `<provider's name>/helm/`.
    """
    objects = [r for r in plan.resources if r.package == "kubernetes" and r.custom]
    stages = _stages(objects)
    found: dict[str, str] = {}
    for resource in objects:
        cluster = plan.by_urn[resource.provider].name if resource.provider in plan.by_urn else "default"
        if resource.type == RELEASE:
            found[f"{cluster}/helm/{_file(resource.name)}.yaml"] = _yaml(_release(resource))
        else:
            found[_path(cluster, stages[resource.urn], resource)] = _yaml(_object(resource))
    return dict(sorted(found.items()))


def write_manifests(plan: Plan, directory: Path) -> list[Path]:
    """Writes `manifests` below a directory, and takes away what an earlier run wrote and this one does not.

    A file that no earlier run wrote is never touched: PlanError if one is in the way.
    """
    wanted = manifests(plan)
    index = directory / INDEX
    before = set(index.read_text("utf-8").splitlines()) if index.is_file() else set()
    strange = sorted(path for path in wanted if path not in before and (directory / path).exists())
    if strange:
        raise PlanError(f"{directory / strange[0]} was not written by this command; nothing was written. Move it away.")
    files.write(index, "".join(f"{path}\n" for path in sorted(before | wanted.keys())))
    for path, text in wanted.items():
        files.write(directory / path, text)
    for path in sorted(before - wanted.keys()):
        (directory / path).unlink(missing_ok=True)
    files.write(index, "".join(f"{path}\n" for path in sorted(wanted)))
    return [directory / path for path in wanted]


def _stages(objects: list[Resource]) -> dict[str, int]:
    by_urn = {resource.urn: resource for resource in objects}
    stages: dict[str, int] = {}

    def stage(resource: Resource) -> int:
        if resource.urn not in stages:
            before = [stage(by_urn[urn]) for urn in resource.dependencies if urn in by_urn]
            stages[resource.urn] = max(before, default=-1 if resource.kind in FIRST else 0) + 1
        return stages[resource.urn]

    for resource in objects:
        stage(resource)
    return stages


def _path(cluster: str, stage: int, resource: Resource) -> str:
    metadata = _metadata(resource)
    name = metadata.get("name") or resource.name
    parts = [f"{stage:02d}", str(resource.inputs.get("kind", resource.kind)).lower(), metadata.get("namespace"), name]
    return str(PurePosixPath(cluster) / f"{'-'.join(_file(part) for part in parts if part)}.yaml")


def _metadata(resource: Resource) -> dict[str, Any]:
    given = resource.inputs.get("metadata")
    return dict(given) if isinstance(given, Mapping) else {}


def _file(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")


def _object(resource: Resource) -> dict[str, Any]:
    inputs = dict(resource.inputs)
    metadata = _metadata(resource)
    if "name" not in metadata:
        metadata["generateName"] = f"{resource.name}-"
    inputs["metadata"] = metadata
    if resource.kind == "Secret" and isinstance(inputs.get("data"), Mapping):
        inputs["data"] = dict.fromkeys(inputs["data"], base64.b64encode(Secret.TEXT.encode()).decode())
    return {name: inputs[name] for name in (*_ORDER, *sorted(inputs.keys() - set(_ORDER))) if name in inputs}


def _release(resource: Resource) -> dict[str, Any]:
    first = ("name", "namespace", "chart", "version", "repositoryOpts")
    rest = sorted(resource.inputs.keys() - {*first, "values"})
    return {name: resource.inputs[name] for name in (*first, *rest, "values") if name in resource.inputs}


class _Dumper(yaml.SafeDumper):
    """YAML for people: long texts as blocks, no anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
_Dumper.add_multi_representer(Marker, _text)


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)
