"""What a preview knows of a resource that does not exist yet: what it was given, and nothing of what the cloud adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plan import schema, sdk
from plan.values import SECRET_SIGNATURE, SENTINEL, SIGNATURE, is_secret, reveal, wrap_secret


def outputs_of(request: Any, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs of a registered resource in wire form. What is left out is unknown to the program.

    An input comes back as the output of the same name. Inside an object, members that were not given are unknown:
    the cloud may fill them (`vpcConfig.clusterSecurityGroupId`). Kubernetes objects' metadata is the exception, as
    the objects' names are settled by the program. What the SDK declares secret is secret, known or not.

    In one place this is more than the real engine's preview knows: while a provider's own inputs are unknown (a
    cluster that is not there yet), the real engine gives nothing back of that provider's resources. Here they are
    known as ever, so that a cluster's objects can be shown and judged before there is a cluster.
    """
    if request.type.startswith(sdk.PROVIDER):
        return dict(inputs)
    try:
        hints = sdk.members(sdk.resource_class(request.type))
    except LookupError:
        return {}
    known: dict[str, Any] = {}
    for name, value in inputs.items():
        if name not in hints:
            known[name] = value
        elif schema.fits(value, hints[name]):
            known[name] = _completed(value, hints[name]) if name != "metadata" else _named(value)
    for name in request.additionalSecretOutputs:
        if not is_secret(known.get(name)):
            known[name] = wrap_secret(known.get(name, SENTINEL))
    return known


def _completed(value: Any, hint: Any) -> Any:
    """A value with the members that it does not have as unknowns."""
    if is_secret(value):
        return {SIGNATURE: SECRET_SIGNATURE, "value": _completed(reveal(value), hint)}
    classes = schema.element_classes(hint)
    if not classes or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_completed(item, hint) for item in value]
    hints = sdk.members(classes[0])
    if not isinstance(value, Mapping) or not value.keys() <= hints.keys():
        return value  # a map with objects inside, or of another shape: as given
    return {name: _completed(value[name], hints[name]) if name in value else SENTINEL for name in hints}


def _named(metadata: Any) -> Any:
    return {"name": SENTINEL, **metadata} if isinstance(metadata, Mapping) and not is_secret(metadata) else metadata
