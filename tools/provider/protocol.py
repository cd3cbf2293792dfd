"""Terraform's plugin protocol 5, as far as AWS's provider is asked by it: a gRPC server with its schema and its plans.

Nothing else of Terraform is needed, neither its program nor a cloud: values travel as msgpack, and what is not known as
an extension of type 0, which the provider takes in any place.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FOLDERS = ("/opt/tf-plugins", "~/.terraform.d/plugins", "/usr/share/terraform/plugins")
COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
"""go-plugin's handshake of Terraform (terraform-plugin-go, tfprotov5/tf5server): it guards against a start by hand."""
_NOBODY = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"}
"""Where a question to AWS would go: to a port at which nobody answers, so that none leaves the machine."""
_PACKAGE = "tfplugin5"
_LIMIT = [("grpc.max_receive_message_length", 256 << 20)]
# As FieldDescriptorProto numbers them; an enum is an int32.
_STRING, _BYTES, _BOOL, _INT64, _ENUM, _MESSAGE = 9, 12, 8, 3, 5, 11
_MESSAGES: dict[str, list[tuple[str, int, int, bool, str]]] = {
    "DynamicValue": [("msgpack", 1, _BYTES, False, ""), ("json", 2, _BYTES, False, "")],
    "Step": [("attribute_name", 1, _STRING, False, "")],
    "Path": [("steps", 1, _MESSAGE, True, "Step")],
    "Diagnostic": [
        ("severity", 1, _ENUM, False, ""),
        ("summary", 2, _STRING, False, ""),
        ("detail", 3, _STRING, False, ""),
        ("attribute", 4, _MESSAGE, False, "Path"),
    ],
    "Attribute": [
        ("name", 1, _STRING, False, ""),
        ("type", 2, _BYTES, False, ""),
        ("required", 4, _BOOL, False, ""),
        ("optional", 5, _BOOL, False, ""),
        ("computed", 6, _BOOL, False, ""),
    ],
    "NestedBlock": [
        ("type_name", 1, _STRING, False, ""),
        ("block", 2, _MESSAGE, False, "Block"),
        ("nesting", 3, _ENUM, False, ""),
    ],
    "Block": [("attributes", 2, _MESSAGE, True, "Attribute"), ("block_types", 3, _MESSAGE, True, "NestedBlock")],
    "Schema": [("version", 1, _INT64, False, ""), ("block", 2, _MESSAGE, False, "Block")],
    "ResourceSchema": [("key", 1, _STRING, False, ""), ("value", 2, _MESSAGE, False, "Schema")],
    "Nothing": [],
    "Schemas": [("provider", 1, _MESSAGE, False, "Schema"), ("resources", 2, _MESSAGE, True, "ResourceSchema")],
    "Configure": [("terraform_version", 1, _STRING, False, ""), ("config", 2, _MESSAGE, False, "DynamicValue")],
    "Judged": [("diagnostics", 1, _MESSAGE, True, "Diagnostic")],
    "Config": [("type_name", 1, _STRING, False, ""), ("config", 2, _MESSAGE, False, "DynamicValue")],
    "Change": [
        ("type_name", 1, _STRING, False, ""),
        ("prior_state", 2, _MESSAGE, False, "DynamicValue"),
        ("proposed_new_state", 3, _MESSAGE, False, "DynamicValue"),
        ("config", 4, _MESSAGE, False, "DynamicValue"),
    ],
    "Planned": [
        ("planned_state", 1, _MESSAGE, False, "DynamicValue"),
        ("requires_replace", 2, _MESSAGE, True, "Path"),
        ("diagnostics", 4, _MESSAGE, True, "Diagnostic"),
    ],
}
"""What is read of the protocol's messages (terraform's docs/plugin-protocol/tfplugin5.proto):
by name, each field's name, number, kind, whether it is a list, and of what.
"""
UNKNOWN = msgspec.msgpack.Ext(0, b"\0")
"""A value that only the cloud can give."""


class ProviderError(Exception):
    """The provider did not start, or did not answer."""


@dataclass(frozen=True)
class Remark:
    """One thing that the provider has to say; `path` is the property in Terraform's words, empty for the whole."""

    is_error: bool
    summary: str
    detail: str
    path: str

    def __str__(self) -> str:
        return re.sub(r"\s+", " ", f"{self.summary}: {self.detail}").strip(" :")


@dataclass(frozen=True)
class Planned:
    """The provider's answer to a plan: its remarks, and the paths for whose sake it makes a new resource."""

    remarks: tuple[Remark, ...]
    replaced_by: tuple[tuple[str, ...], ...]

    @property
    def errors(self) -> tuple[Remark, ...]:
        """What stops the plan."""
        return tuple(remark for remark in self.remarks if remark.is_error)


def installed() -> Path | None:
    """The AWS provider's plugin on this machine, the newest; None where there is none.

    Raises: ProviderError where the one that HAL9_AWS_PLUGIN names is not there.
    """
    named = os.environ.get("HAL9_AWS_PLUGIN")
    if named:
        if not Path(named).is_file():
            raise ProviderError(f"HAL9_AWS_PLUGIN names {named}, which is no file")
        return Path(named)
    found = (
        path
        for folder in FOLDERS
        for path in Path(folder).expanduser().glob("*/hashicorp/aws/*/*/terraform-provider-aws_*")
    )
    return max(found, default=None, key=lambda path: [int(n) for n in re.findall(r"\d+", path.parent.parent.name)])


class Provider:
    """A running provider, as configured for one AWS region: `with Provider(plugin, "us-west-2") as provider: ...`."""

    def __init__(self, plugin: Path, region: str = "us-west-2") -> None:
        self._plugin = plugin
        self._region = region
        self._messages = message_classes()

    @property
    def version(self) -> str:
        """`5.100.0`."""
        return self._plugin.parent.parent.name

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def knows(self, terraform_type: str) -> bool:
        """Whether the provider has a resource type; a newer pulumi-aws may have more."""
        return terraform_type in self._schemas

    def block(self, terraform_type: str) -> Any:
        """A type's schema: `attributes` and `block_types`."""
        return self._schemas[terraform_type]

    def settable(self, terraform_type: str) -> dict[str, Any]:
        """A type's properties that a program can set, with their schema."""
        block = self._schemas[terraform_type]
        attributes = {a.name: a for a in block.attributes if (a.required or a.optional) and a.name != "id"}
        return attributes | {b.type_name: b for b in block.block_types if b.type_name != "timeouts"}

    def validate(self, terraform_type: str, config: Mapping[str, Any]) -> Iterator[Remark]:
        """What is wrong with a resource as it is written."""
        answer = self._call(
            "ValidateResourceTypeConfig",
            "Config",
            "Judged",
            type_name=terraform_type,
            config=self._value(config),
        )
        return map(_remark, answer.diagnostics)

    def plan(self, terraform_type: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Planned:
        """What becomes of a resource that stands as `before` (None: not yet) when it is written as `after`.

        Raises: ProviderError where the provider died: it would have asked AWS, and had nobody to ask.
        """
        try:
            answer = self._call(
                "PlanResourceChange",
                "Change",
                "Planned",
                type_name=terraform_type,
                prior_state=self._value(before),
                proposed_new_state=self._value(after),
                config=self._value({**after, "id": None} if "id" in after else after),
            )
        except grpc.RpcError as error:
            self._stop()
            self._start()
            why = "what it had to ask of AWS, or a fault of its own"
            raise ProviderError(f"the provider died at {terraform_type}: {why}") from error
        paths = [tuple(s.attribute_name for s in p.steps if s.attribute_name) for p in answer.requires_replace]
        return Planned(tuple(map(_remark, answer.diagnostics)), tuple(paths))

    def _start(self) -> None:
        """Starts the plugin; its socket and whatever else it writes are in a folder that goes with it."""
        self._folder = tempfile.TemporaryDirectory(prefix="hal9-provider-")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        handshake = {"TF_PLUGIN_MAGIC_COOKIE": COOKIE, "PLUGIN_PROTOCOL_VERSIONS": "5", "TMPDIR": self._folder.name}
        self._process = subprocess.Popen(
            [self._plugin],
            env={**kept, **_NOBODY, **handshake},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._channel: grpc.Channel | None = None
        try:
            self._greet()
        except BaseException:
            self._stop()
            raise

    def _greet(self) -> None:
        assert self._process.stdout is not None
        fields = self._process.stdout.readline().strip().split("|")
        if len(fields) < 4 or fields[1] != "5":
            raise ProviderError(f"{self._plugin.name} did not start as a plugin of protocol 5")
        address = f"unix:{fields[3]}" if fields[2] == "unix" else fields[3]
        self._channel = grpc.insecure_channel(address, options=_LIMIT)
        answer = self._call("GetSchema", "Nothing", "Schemas")
        self._schemas = {entry.key: entry.value.block for entry in answer.resources}
        self._configure(answer.provider.block)

    def _stop(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    def _call(self, method: str, request: str, answer: str, **fields: Any) -> Any:
        assert self._channel is not None
        call = self._channel.unary_unary(
            f"/{_PACKAGE}.Provider/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self._messages[answer].FromString,
        )
        return call(self._messages[request](**fields), timeout=120)

    def _value(self, value: Any) -> Any:
        return self._messages["DynamicValue"](msgpack=msgspec.msgpack.encode(value))

    def _configure(self, block: Any) -> None:
        given: dict[str, Any] = {
            "region": self._region,
            "access_key": "none",
            "secret_key": "none",
            "max_retries": 1,
            "skip_credentials_validation": True,
            "skip_metadata_api_check": "true",
            "skip_region_validation": True,
            "skip_requesting_account_id": True,
        }
        config = {a.name: given.get(a.name) for a in block.attributes} | {b.type_name: [] for b in block.block_types}
        answer = self._call("Configure", "Configure", "Judged", terraform_version="1.9.0", config=self._value(config))
        if answer.diagnostics:
            raise ProviderError("; ".join(str(_remark(d)) for d in answer.diagnostics))


def _remark(diagnostic: Any) -> Remark:
    steps = (step.attribute_name for step in diagnostic.attribute.steps)
    return Remark(diagnostic.severity == 1, diagnostic.summary, diagnostic.detail, ".".join(filter(None, steps)))


def message_classes() -> dict[str, Any]:
    """The message classes, made at run time: the protocol is small, and a compiler for it is one more tool."""
    file = descriptor_pb2.FileDescriptorProto(name="hal9/tfplugin5.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated, of in fields:
            made = message.field.add(name=field, number=number, type=kind, label=3 if repeated else 1)
            if of:
                made.type_name = f".{_PACKAGE}.{of}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }
