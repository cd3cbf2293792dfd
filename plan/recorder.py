"""Turns what the monitor has seen into a plan's frozen records, without any secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from plan.masking import Masker
from plan.monitor import STACK, Monitor, Registration
from plan.project import Project
from plan.record import Plan, Resource
from plan.regions import regions_of
from plan.values import kept, kept_parts

KUBERNETES_SECRET = "kubernetes:core/v1:Secret"

Mask = Callable[[str], str]


def recorded(project: Project, monitor: Monitor, masker: Masker, messages: tuple[str, ...], seconds: float) -> Plan:
    """The plan of a finished run."""
    stack = next((r for r in monitor.registrations.values() if r.request.type == STACK), None)
    own = {urn: r for urn, r in monitor.registrations.items() if r is not stack}
    regions = regions_of(own)
    resources = [_resource(registration, regions[urn], masker.mask) for urn, registration in own.items()]
    return Plan(
        project=project.name,
        stack=project.stack,
        resources=tuple(sorted(resources, key=lambda resource: resource.urn)),
        outputs=_kept(stack.outputs, masker.mask) if stack else {},
        invokes=tuple(monitor.invokes),
        messages=messages,
        order=tuple(own),
        seconds=seconds,
    )


def _resource(registration: Registration, region: str, mask: Mask) -> Resource:
    request = registration.request
    read = request.DESCRIPTOR.name == "ReadResourceRequest"
    common: dict[str, Any] = {
        "urn": registration.urn,
        "type": request.type,
        "name": request.name,
        "parent": request.parent,
        "custom": read or request.custom,
        "provider": request.provider.rpartition("::")[0],
        "region": region,
        "inputs": _inputs(request.type, registration.inputs, mask),
        "dependencies": tuple(sorted(request.dependencies)),
    }
    if read:
        return Resource(**common, import_id=request.id)
    return Resource(
        **common,
        outputs=_kept(registration.outputs, mask),
        property_dependencies={
            name: tuple(sorted(on.urns)) for name, on in sorted(request.propertyDependencies.items()) if on.urns
        },
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        delete_before_replace=request.deleteBeforeReplace,
        deleted_with=request.deletedWith,
        ignore_changes=tuple(request.ignoreChanges),
        replace_on_changes=tuple(request.replaceOnChanges),
        additional_secret_outputs=tuple(request.additionalSecretOutputs),
        aliases=tuple(alias.urn or alias.spec.name for alias in request.aliases),
        import_id=request.importId,
        custom_timeouts={
            step: value for step in ("create", "update", "delete") if (value := getattr(request.customTimeouts, step))
        },
    )


def _inputs(token: str, inputs: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    found = _kept(inputs, mask)
    if token == KUBERNETES_SECRET:
        # The names are file names that pods mount; only what is in the files is secret, marked or not.
        found |= {name: kept_parts(inputs[name], mask) for name in ("data", "stringData") if name in inputs}
    return found


def _kept(values: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    return {name: kept(value, mask) for name, value in values.items()}
