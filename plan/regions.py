"""Which AWS region each resource lives in."""

from __future__ import annotations

from collections.abc import Mapping

from plan.monitor import Registration
from plan.values import is_unknown, reveal

PROVIDER = "pulumi:providers:"


def regions_of(registrations: Mapping[str, Registration]) -> dict[str, str]:
    """AWS region by URN: a resource's own `region`, else its provider's.

    A provider of another package (Kubernetes) lives where the AWS resources are that it takes its inputs from, and
    so do the resources that it makes. Components have none.
    """
    found: dict[str, str] = {}
    for urn, registration in registrations.items():
        if registration.request.type.startswith(PROVIDER):
            found[urn] = _own(registration)
    for urn, registration in registrations.items():
        if not registration.request.type.startswith(PROVIDER):
            provider = registration.request.provider.rpartition("::")[0]
            found[urn] = _own(registration) if provider else ""
            found[urn] = found[urn] or found.get(provider, "")
    for urn, registration in registrations.items():
        if registration.request.type.startswith(PROVIDER) and not found[urn]:
            found[urn] = next((found[d] for d in sorted(registration.request.dependencies) if found.get(d)), "")
    for urn, registration in registrations.items():
        found[urn] = found[urn] or found.get(registration.request.provider.rpartition("::")[0], "")
    return found


def _own(registration: Registration) -> str:
    region = reveal(registration.inputs.get("region"))
    return region if isinstance(region, str) and not is_unknown(region) else ""
