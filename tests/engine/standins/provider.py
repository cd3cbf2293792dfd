"""Serves Pulumi's ResourceProvider over gRPC for one provider instance, as the real plugins do.

Inputs are judged by `plan.schema.check_inputs`, the same code as the embedded engine's: an unknown name, a wrong
type or a missing input is refused in Check, before anything is made.
"""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from diff.comparison import differences
from facts import replacements
from plan import foresight, schema
from tests.engine.standins import refusals
from tests.engine.standins.cloud import Cloud, Live, Refused
from tests.engine.standins.package import Package

_SERIAL = itertools.count()


class StandIn(provider_pb2_grpc.ResourceProviderServicer):
    """One provider instance: a package, its configuration once Configure was called, and the shared cloud."""

    def __init__(self, package: Package, cloud: Cloud) -> None:
        self._package, self._cloud = package, cloud
        self._config: dict[str, Any] = {}

    def Handshake(self, request: Any, context: Any) -> Any:
        # Secrets are the engine's business here: it opens them before a call and closes them after.
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=False, accept_resources=False)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=importlib.metadata.version(f"pulumi-{self._package.name}"))

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return self._checked(f"{schema.PROVIDER}{self._package.name}", request)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """A provider that speaks to another region or cluster is another one."""
        changed = _changed(
            _plain(request.old_inputs if request.HasField("old_inputs") else request.olds), _plain(request.news)
        )
        return _difference(changed, changed & {"region", "kubeconfig", "clusterIdentifier"})

    def Configure(self, request: Any, context: Any) -> Any:
        self._config = _plain(request.args)
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=True, acceptResources=False)

    def Check(self, request: Any, context: Any) -> Any:
        return self._checked(_token(request.urn), request)

    def _checked(self, token: str, request: Any) -> Any:
        problems = schema.check_inputs(token, _plain(request.news))
        failures = [provider_pb2.CheckFailure(property=p.path, reason=p.message) for p in problems]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request: Any, context: Any) -> Any:
        token = _token(request.urn)
        before, after = _plain(request.old_inputs), _plain(request.news)
        ignored = {name.split(".")[0].split("[")[0] for name in request.ignoreChanges}
        paths = {path for path in differences(before, after) if _top(path) not in ignored}
        replaces = self._package.replaces(token, paths)
        first = bool(replaces) and replacements.name_kept(token, before, after) and self._package.name == "aws"
        return _difference(set(map(_top, paths)), set(map(_top, replaces)), first)

    def Create(self, request: Any, context: Any) -> Any:
        token, inputs = _token(request.urn), _plain(request.properties)
        if request.preview:
            foreseen = SimpleNamespace(type=token, additionalSecretOutputs=())
            return provider_pb2.CreateResponse(properties=_struct(foresight.outputs_of(foreseen, inputs)))
        try:
            with self._cloud.operation("create", self._package.name, request.urn):
                made = self._package.create(token, _name(request.urn), inputs, self._config, next(_SERIAL))
                scope = self._package.scope(token, inputs, self._config)
                self._cloud.add(Live(request.urn, token, scope, made.id, inputs, made.outputs, made.physical_name))
                self._cloud.pass_or_hold()
        except Refused as refusal:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, str(refusal))
        return provider_pb2.CreateResponse(id=made.id, properties=_struct(made.outputs))

    def Read(self, request: Any, context: Any) -> Any:
        with self._cloud.operation("read", self._package.name, request.urn):
            live = self._cloud.find(_token(request.urn), self._scope(request.urn, request.inputs), request.id)
        if live is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=live.id, properties=_struct(live.outputs), inputs=_struct(live.inputs))

    def Update(self, request: Any, context: Any) -> Any:
        token, inputs = _token(request.urn), _plain(request.news)
        outputs = self._package.update(token, _plain(request.olds), inputs)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=_struct(outputs))
        scope = self._scope(request.urn, request.news)
        try:
            with self._cloud.operation("update", self._package.name, request.urn):
                before, live = _plain(request.old_inputs), self._cloud.find(token, scope, request.id)
                refusals.of_update(token, before, inputs, live.inputs if live else {})
                has = refusals.settled(token, live.inputs if live else {}, inputs)
                self._cloud.update(token, scope, request.id, has, outputs)
        except Refused as refusal:
            context.abort(grpc.StatusCode.NOT_FOUND, str(refusal))
        return provider_pb2.UpdateResponse(properties=_struct(outputs))

    def Delete(self, request: Any, context: Any) -> Any:
        token, scope = _token(request.urn), self._scope(request.urn, request.old_inputs)
        try:
            with self._cloud.operation("delete", self._package.name, request.urn):
                inputs = _plain(request.old_inputs)
                refusals.of_delete(token, inputs)
                self._cloud.remove(token, scope, request.id, name_stays=refusals.name_kept_after(token, inputs))
        except Refused as refusal:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refusal))
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        functions = self._package.functions()
        if request.tok not in functions:
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED, f"the stand-in for {self._package.name} has no function {request.tok}"
            )
        self._cloud.invoked[request.tok] += 1
        answer = functions[request.tok](_plain(request.args), self._config)
        return provider_pb2.InvokeResponse(**{"return": _struct(answer)})

    def _scope(self, urn: str, inputs: Any) -> str:
        return self._package.scope(_token(urn), _plain(inputs), self._config)

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


def _token(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _name(urn: str) -> str:
    return urn.split("::", 3)[3]


def _plain(message: Any) -> dict[str, Any]:
    """A protobuf Struct as plain Python."""
    return dict(MessageToDict(message))


def _struct(values: Mapping[str, Any]) -> Any:
    return ParseDict(values, struct_pb2.Struct())


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _top(path: str) -> str:
    return path.partition(".")[0].partition("[")[0]


def _difference(changed: set[str], replaces: set[str], first: bool = False) -> Any:
    """The engine's answer; `first`: the old one goes before the new one is made, as they have one name."""
    some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
    return provider_pb2.DiffResponse(
        changes=some, diffs=sorted(changed), replaces=sorted(replaces), deleteBeforeReplace=first
    )
