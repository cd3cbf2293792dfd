"""Runs a program's resource transforms (`ResourceOptions.transforms`,
`register_resource_transform`) as the engine does.
"""

from __future__ import annotations

from typing import Any

from pulumi.runtime._callbacks import _CallbackServicer
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.sync_await import _sync_await

# Option in a transform's request and answer, and in a registration.
_OPTIONS = {
    "protect": "protect",
    "retain_on_delete": "retainOnDelete",
    "delete_before_replace": "deleteBeforeReplace",
    "deleted_with": "deletedWith",
    "provider": "provider",
}
_LISTS = {
    "depends_on": "dependencies",
    "ignore_changes": "ignoreChanges",
    "replace_on_changes": "replaceOnChanges",
    "additional_secret_outputs": "additionalSecretOutputs",
}


def transformed(request: Any, callback: Any) -> Any:
    """A registration after one transform: its inputs, and the options that a plan records."""
    # The functions are the program's own, in this process: the SDK's server is asked directly, not over its socket.
    handlers = (servicer._callbacks.get(callback.token) for servicer in _CallbackServicer._servicers)
    handler: Any = next(filter(None, handlers))
    asked = resource_pb2.TransformRequest(
        type=request.type,
        name=request.name,
        custom=request.custom,
        parent=request.parent,
        properties=request.object,
        options=resource_pb2.TransformResourceOptions(
            **{theirs: getattr(request, ours) for theirs, ours in (_OPTIONS | _LISTS).items()},
            providers=request.providers,
        ),
    )
    answer = _sync_await(handler(asked.SerializeToString()))
    changed = resource_pb2.RegisterResourceRequest()
    changed.CopyFrom(request)
    changed.object.CopyFrom(answer.properties)
    if answer.HasField("options"):
        for theirs, ours in _OPTIONS.items():
            setattr(changed, ours, getattr(answer.options, theirs))
        for theirs, ours in _LISTS.items():
            getattr(changed, ours)[:] = getattr(answer.options, theirs)
    return changed
