"""The engine's side of Pulumi's protocol, in process: takes registrations, judges them, answers as a preview does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, provider_pb2, resource_pb2

from plan import schema, sdk
from plan.errors import Refusal
from plan.foresight import outputs_of
from plan.masking import Masker
from plan.project import Project
from plan.record import Invoke
from plan.transforms import transformed
from plan.values import SENTINEL, from_struct, is_secret, strings_at, to_struct

STACK = "pulumi:pulumi:Stack"
OUTPUTS = "pulumi:pulumi:readStackOutputs"

FEATURES = [
    resource_pb2.RESOURCE_MONITOR_FEATURE_SECRETS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ALIAS_SPECS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_DELETED_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACE_WITH,
    resource_pb2.RESOURCE_MONITOR_FEATURE_REPLACEMENT_TRIGGER,
    resource_pb2.RESOURCE_MONITOR_FEATURE_TRANSFORMS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS,
    resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS,
]
"""What the SDK may use. Resource references are left out: a resource given as an input then arrives as its id."""


@dataclass
class Registration:
    """One request as it came, its inputs in plain Python (wire forms)."""

    urn: str
    request: Any
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)


class Monitor:
    """Pulumi's `ResourceMonitor`, called by the SDK in the program's thread.

    It never raises for what it would refuse: it notes a refusal and answers, so that one run finds all of them.
    `on_resource` is called with the number of resources so far.
    """

    def __init__(self, project: Project, masker: Masker, on_resource: Callable[[int], None]) -> None:
        self.registrations: dict[str, Registration] = {}
        self.refusals: list[Refusal] = []
        self.invokes: list[Invoke] = []
        self._project = project
        self._masker = masker
        self._on_resource = on_resource
        self._stack_transforms: list[Any] = []
        self._transforms: dict[str, list[Any]] = {}

    # What the SDK calls. The names are the protocol's.

    def GetDeploymentInfo(self, _request: Any) -> Any:
        """What this engine can do."""
        return resource_pb2.DeploymentInfo(supportedFeatures=FEATURES)

    def RegisterResource(self, request: Any) -> Any:
        """A resource, component, provider or the stack itself."""
        request = self._transformed(request)
        urn = self._urn(request.parent, request.type, request.name)
        inputs = from_struct(request.object)
        self._remember_secrets(inputs)
        if request.type != STACK:
            self._judge(urn, request, inputs)
        self._record(urn, request, inputs)
        known = outputs_of(request, inputs) if request.custom else inputs
        return resource_pb2.RegisterResourceResponse(urn=urn, object=to_struct(known))

    def ReadResource(self, request: Any) -> Any:
        """A resource that exists and is not made by this program: nothing of it is known without the cloud."""
        urn = self._urn(request.parent, request.type, request.name)
        inputs = from_struct(request.properties)
        self._remember_secrets(inputs)
        self._judge_names(urn, request)
        self._judge_provider(urn, request)
        self._record(urn, request, inputs)
        return resource_pb2.ReadResourceResponse(urn=urn, properties=request.properties)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        """A component's or the stack's outputs."""
        outputs = from_struct(request.outputs)
        self._remember_secrets(outputs)
        if registration := self.registrations.get(request.urn):
            registration.outputs = outputs
            self._judge_text(registration.request, request.urn, outputs, "outputs.")
        return empty_pb2.Empty()

    def Invoke(self, request: Any) -> Any:
        """A question to a provider. There is no cloud to answer it."""
        if request.tok == OUTPUTS:  # of a stack: the embedded engine's always begins
            return resource_pb2.ResourceInvokeResponse(**{"return": to_struct({"outputs": {}})})
        provider = request.provider.rpartition("::")[0]
        package = request.tok.split(":")[0]
        if not provider and self._denied(package):
            self.refusals.append(Refusal(request.tok, "invoke", "", _denial(package, request.tok)))
        self.invokes.append(Invoke(request.tok, provider))
        return resource_pb2.ResourceInvokeResponse(unknown=True)

    def Call(self, request: Any) -> Any:
        """A method of a remote component: the embedded engine has no remote components."""
        self.refusals.append(Refusal(request.tok, "call", "", "a method of a remote component cannot be planned here"))
        return provider_pb2.CallResponse()

    def RegisterStackTransform(self, request: Any) -> Any:
        """A transform of every resource from here on."""
        self._stack_transforms.append(request)
        return empty_pb2.Empty()

    def RegisterResourceHook(self, _request: Any) -> Any:
        """Hooks run in a deployment, not in a preview."""
        return empty_pb2.Empty()

    RegisterErrorHook = RegisterStackInvokeTransform = RegisterResourceHook

    def RegisterPackage(self, request: Any) -> Any:
        """A parameterized package, known by its name."""
        return resource_pb2.RegisterPackageResponse(ref=request.name)

    def SignalAndWaitForShutdown(self, _request: Any) -> Any:
        """The program has ended."""
        return empty_pb2.Empty()

    # What is behind it.

    def _record(self, urn: str, request: Any, inputs: dict[str, Any]) -> None:
        self.registrations.setdefault(urn, Registration(urn, request, inputs))
        self._on_resource(len(self.registrations))

    def _urn(self, parent: str, token: str, name: str) -> str:
        """A URN as the engine makes it: the whole chain of parents' types, without the stack's."""
        chain = parent.split("::")[2] if parent else STACK
        qualified = token if chain == STACK else f"{chain}${token}"
        return f"urn:pulumi:{self._project.stack}::{self._project.name}::{qualified}::{name}"

    def _judge(self, urn: str, request: Any, inputs: Mapping[str, Any]) -> None:
        self._judge_names(urn, request)
        self._judge_text(request, urn, inputs, "")
        if request.remote:
            self._refuse(
                urn, request, "a remote component cannot be planned: what it makes is known to its provider alone"
            )
        if not request.custom:
            return
        if not request.type.startswith(sdk.PROVIDER):
            self._judge_provider(urn, request)
        for problem in schema.check_inputs(request.type, inputs):
            self._refuse(urn, request, problem.message, problem.path)
        for dependency in request.dependencies:
            if dependency not in self.registrations:
                self._refuse(urn, request, f"depends on {dependency}, which is not registered")

    def _judge_names(self, urn: str, request: Any) -> None:
        if urn in self.registrations:
            self._refuse(urn, request, f"Duplicate resource URN '{urn}'; try giving it a unique name")
        if request.parent and request.parent not in self.registrations:
            self._refuse(urn, request, f"could not find parent resource {request.parent}")
        if SENTINEL in request.name or _is_output_text(request.name):
            self._refuse(urn, request, "its name is made from a value that is not known before the deployment")

    def _judge_provider(self, urn: str, request: Any) -> None:
        package = request.type.split(":")[0]
        provider = request.provider.rpartition("::")[0]
        if not provider and self._denied(package):
            self._refuse(urn, request, _denial(package, urn))
        elif provider and provider not in self.registrations:
            self._refuse(urn, request, f"unknown provider '{request.provider}' for resource '{urn}'")

    def _judge_text(self, request: Any, urn: str, values: Mapping[str, Any], prefix: str) -> None:
        """An unknown that was made part of a text: the engine would take the text for the value."""
        for path, text in strings_at(values):
            if (SENTINEL in text and text != SENTINEL) or _is_output_text(text):
                self._refuse(
                    urn, request, "holds an Output that was turned into text; use Output.concat or apply", prefix + path
                )

    def _refuse(self, urn: str, request: Any, message: str, path: str = "") -> None:
        self.refusals.append(Refusal(request.name, request.type, path, self._masker.mask(message), urn))

    def _denied(self, package: str) -> bool:
        return bool(self._project.no_default_provider & {package, "*"})

    def _remember_secrets(self, value: Any) -> None:
        if is_secret(value):
            self._masker.add(value)
        elif isinstance(value, Mapping):
            for inner in value.values():
                self._remember_secrets(inner)
        elif isinstance(value, list):
            for inner in value:
                self._remember_secrets(inner)

    def _transformed(self, request: Any) -> Any:
        """A request after the program's own transforms: the
        resource's, its ancestors', the stack's, in the engine's order.
        """
        inherited = [*request.transforms, *self._transforms.get(request.parent, [])]
        for callback in [*inherited, *self._stack_transforms]:
            request = transformed(request, callback)
        if inherited:
            self._transforms[self._urn(request.parent, request.type, request.name)] = inherited
        return request


class Engine:
    """Pulumi's `Engine` service, of which the SDK uses the log. `messages` are what the operator would see."""

    def __init__(self, masker: Masker) -> None:
        self.messages: list[str] = []
        self.errors: list[str] = []
        self._masker = masker

    def Log(self, request: Any) -> None:
        """A line of the program's log."""
        if request.severity == engine_pb2.DEBUG:
            return
        severity = engine_pb2.LogSeverity.Name(request.severity).lower()
        text = self._masker.mask(request.message.strip())
        (self.errors if request.severity == engine_pb2.ERROR else self.messages).append(f"{severity}: {text}")

    def RequirePulumiVersion(self, _request: Any) -> Any:
        """Any version will do: there is no CLI."""
        return engine_pb2.RequirePulumiVersionResponse()


def _denial(package: str, what: str) -> str:
    return f"Default provider for '{package}' disabled. '{what}' must use an explicit provider."


def _is_output_text(text: str) -> bool:
    return "Calling __str__ on an Output[T]" in text or "<pulumi.output.Output object" in text
