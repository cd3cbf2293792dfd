"""Asks Terraform's AWS provider, which pulumi-aws wraps, what a change of each property replaces: no cloud, no account.

    python -m tools.aws_provider --plugin PATH/terraform-provider-aws_v5.100.0_x5     writes facts/data/properties.json

The provider is a gRPC server (protocol 5). For each resource type of both stacks' plans it is shown a resource before
and after a change of every settable property at once; its plan tells which of them only a new resource can have.
Where the plugin is installed (`HAL9_AWS_PLUGIN`, or Terraform's own folders) a test asks again and compares.
"""

from __future__ import annotations

from app import console

if __name__ == "__main__":
    console.prepare()  # before the other imports, which take a while and may be interrupted too

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FOLDERS = ("/opt/tf-plugins", "~/.terraform.d/plugins", "/usr/share/terraform/plugins")
COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
"""go-plugin's handshake of Terraform (terraform-plugin-go, tfprotov5/tf5server): it guards against a start by hand."""
_PACKAGE = "tfplugin5"
_LIMIT = [("grpc.max_receive_message_length", 256 << 20)]
_STRING, _BYTES, _BOOL, _INT64, _ENUM, _MESSAGE = (
    9,
    12,
    8,
    3,
    5,
    11,
)  # as FieldDescriptorProto numbers them; an enum is an int32
_MESSAGES: dict[str, list[tuple[str, int, int, bool, str]]] = {
    "DynamicValue": [("msgpack", 1, _BYTES, False, ""), ("json", 2, _BYTES, False, "")],
    "Step": [("attribute_name", 1, _STRING, False, "")],
    "Path": [("steps", 1, _MESSAGE, True, "Step")],
    "Diagnostic": [
        ("severity", 1, _ENUM, False, ""),
        ("summary", 2, _STRING, False, ""),
        ("detail", 3, _STRING, False, ""),
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
    "Configured": [("diagnostics", 1, _MESSAGE, True, "Diagnostic")],
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
"""What is read of the protocol's messages (terraform's docs/plugin-protocol/tfplugin5.proto): name, number, kind, list, of what."""


EXAMPLES: Mapping[str, tuple[Any, Any]] = {
    "engine_version": ("7.0", "7.1"),
    "cidr_block": ("10.0.0.0/16", "10.1.0.0/16"),
}
"""Values where the provider reads what it compares."""
TOGETHER: Mapping[str, Mapping[str, Any]] = {
    "multi_az_enabled": {"automatic_failover_enabled": True, "num_cache_clusters": 2},
    "blue_green_update": {"engine": "mysql"},
}
"""What else must be set for a property to be judged; it does not change."""
TERRAFORM_NAMES: Mapping[tuple[str, str], str] = {
    ("aws_cloudwatch_metric_alarm", "name"): "alarm_name",
    ("aws_db_instance", "clusterIdentifier"): "",
}
"""Properties that pulumi-aws calls otherwise."""
WHAT = (
    "By resource type of both stacks' plans: the properties whose change AWS's provider answers with a new resource "
    "(replaces), and those that it could not be asked about (silent)"
)
NEWER = {"region": True}
"""Properties that only the provider's next major has, which pulumi-aws 7 wraps: a resource's own region replaces it."""


class ProviderError(Exception):
    """The provider did not start, or did not answer."""


def installed() -> Path | None:
    """The AWS provider's plugin on this machine, newest first; None where there is none."""
    named = os.environ.get("HAL9_AWS_PLUGIN")
    if named:
        return Path(named)
    found = (
        path
        for folder in FOLDERS
        for path in Path(folder).expanduser().glob("*/hashicorp/aws/*/*/terraform-provider-aws_*")
    )
    return max(found, default=None, key=lambda path: [int(n) for n in re.findall(r"\d+", path.parent.parent.name)])


class Provider:
    """A running provider: `with Provider(plugin) as provider: provider.replaced("aws_vpc")`."""

    def __init__(self, plugin: Path) -> None:
        self._plugin = plugin
        self._messages = _messages()

    @property
    def version(self) -> str:
        """`5.100.0`."""
        return self._plugin.parent.parent.name

    def __enter__(self) -> Self:
        self._start()
        return self

    def _start(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        environment = {**kept, "TF_PLUGIN_MAGIC_COOKIE": COOKIE, "PLUGIN_PROTOCOL_VERSIONS": "5"}
        self._process = subprocess.Popen(
            [self._plugin], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        fields = self._process.stdout.readline().strip().split("|")
        if len(fields) < 4 or fields[1] != "5":
            self._process.kill()
            raise ProviderError(f"{self._plugin.name} did not start as a plugin of protocol 5")
        self._channel = grpc.insecure_channel(f"{fields[2]}:{fields[3]}", options=_LIMIT)
        answer = self._call("GetSchema", "Nothing", "Schemas")
        self._schemas = {entry.key: entry.value.block for entry in answer.resources}
        self._configure(answer.provider.block)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._channel.close()
        self._process.kill()
        self._process.wait()

    def _call(self, method: str, request: str, answer: str, **fields: Any) -> Any:
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
            "region": "us-west-2",
            "access_key": "none",
            "secret_key": "none",
            "skip_credentials_validation": True,
            "skip_metadata_api_check": "true",
            "skip_region_validation": True,
            "skip_requesting_account_id": True,
        }
        config = {a.name: given.get(a.name) for a in block.attributes} | {b.type_name: [] for b in block.block_types}
        answer = self._call(
            "Configure", "Configure", "Configured", terraform_version="1.9.0", config=self._value(config)
        )
        if answer.diagnostics:
            raise ProviderError("; ".join(f"{d.summary} {d.detail}" for d in answer.diagnostics))

    def knows(self, terraform_type: str) -> bool:
        """Whether the provider has a resource type; a newer pulumi-aws may have more."""
        return terraform_type in self._schemas

    def settable(self, terraform_type: str) -> dict[str, Any]:
        """A type's properties that a program can set, with their schema."""
        block = self._schemas[terraform_type]
        attributes = {a.name: a for a in block.attributes if (a.required or a.optional) and a.name != "id"}
        return attributes | {b.type_name: b for b in block.block_types if b.type_name != "timeouts"}

    def replaced(self, terraform_type: str, properties: Iterable[str]) -> set[str]:
        """The paths in these properties whose change replaces the resource (`launch_template.id`). ProviderError where the provider has no answer."""
        block = self._schemas[terraform_type]
        settable, wanted = self.settable(terraform_type), set(properties)
        beside = {name: value for one in wanted for name, value in TOGETHER.get(one, {}).items() if name in settable}
        before: dict[str, Any] = {"id": "before"}
        after: dict[str, Any] = {"id": "before"}
        for attribute in block.attributes:
            kind = json.loads(attribute.type)
            if attribute.name in wanted and attribute.name in settable:
                values = EXAMPLES.get(attribute.name) if kind == "string" else None
                before[attribute.name], after[attribute.name] = values or (_example(kind, 0), _example(kind, 1))
            elif attribute.name != "id":
                before[attribute.name] = after[attribute.name] = beside.get(attribute.name)
        for nested in block.block_types:
            change = nested.type_name in wanted
            before[nested.type_name] = _nested(nested, 0) if change else _none(nested)
            after[nested.type_name] = _nested(nested, 1) if change else _none(nested)
        try:
            answer = self._call(
                "PlanResourceChange",
                "Change",
                "Planned",
                type_name=terraform_type,
                prior_state=self._value(before),
                proposed_new_state=self._value(after),
                config=self._value({**after, "id": None}),
            )
        except grpc.RpcError as error:  # it would have asked AWS, and died of having nobody to ask
            self._stop()
            self._start()
            raise ProviderError(f"the provider died at {terraform_type} {sorted(wanted)}: {error}") from None
        if any(d.severity == 1 for d in answer.diagnostics):
            raise ProviderError("; ".join(f"{d.summary} {d.detail}" for d in answer.diagnostics))
        paths = (
            [step.attribute_name for step in path.steps if step.attribute_name] for path in answer.requires_replace
        )
        return {".".join(path) for path in paths if path[0] in wanted}


def _example(kind: Any, which: int) -> Any:
    """A value of a Terraform type: one before the change, another after it."""
    if kind == "string":
        return ("before", "after")[which]
    if kind == "number":
        return (1, 2)[which]
    if kind == "bool":
        return (False, True)[which]
    shape, inner = kind
    if shape in ("list", "set"):
        return [_example(inner, which)]
    if shape == "map":
        return {"key": _example(inner, which)}
    return {name: _example(value, which) for name, value in inner.items()}


def _nested(nested: Any, which: int) -> Any:
    inner: dict[str, Any] = {}
    for attribute in nested.block.attributes:
        settable = attribute.required or attribute.optional
        inner[attribute.name] = _example(json.loads(attribute.type), which) if settable else None
    inner |= {b.type_name: _nested(b, which) for b in nested.block.block_types}
    return inner if nested.nesting in (1, 5) else [inner]


def _none(nested: Any) -> Any:
    return None if nested.nesting in (1, 5) else []


def _messages() -> dict[str, Any]:
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


def asked(plugin: Path, types: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The facts of Pulumi's resource types with their properties, as `facts/data/properties.json` keeps them."""
    from policies.terraform import terraform_type

    found: dict[str, Any] = {}
    with Provider(plugin) as provider:
        for token in sorted(types):
            name = terraform_type(token)
            if not provider.knows(name):
                continue
            settable = provider.settable(name)
            replaces: list[str] = []
            silent: list[str] = []
            for prop in sorted(types[token]):
                attribute = _attribute(name, prop, settable)
                if attribute is None:
                    (replaces if NEWER.get(prop) else silent).append(prop)
                    continue
                try:
                    replaced = provider.replaced(name, [attribute])
                except ProviderError:
                    silent.append(prop)
                    continue
                replaces += sorted({_pulumi_path(prop, path) for path in replaced})
            found[token] = {"replaces": replaces, **({"silent": silent} if silent else {})}
        version = provider.version
    return {
        "what": WHAT,
        "source": "hashicorp/aws, asked by tools/aws_provider.py",
        "version": version,
        "date": datetime.now(UTC).date().isoformat(),
        "content": found,
    }


def _attribute(terraform_type: str, prop: str, settable: Mapping[str, Any]) -> str | None:
    """Terraform's name of a Pulumi property: snake case, and blocks in the singular."""
    snake = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", prop).lower()
    singular = [f"{snake[:-3]}y"] if snake.endswith("ies") else [snake[:-2]] if snake.endswith("es") else []
    tried = [TERRAFORM_NAMES.get((terraform_type, prop), snake), *singular, snake.removesuffix("s")]
    return next((name for name in tried if name in settable), None)


def _pulumi_path(prop: str, path: str) -> str:
    """`launchTemplate.id` of `launch_template.id`."""
    inner = [re.sub(r"_(.)", lambda match: match[1].upper(), step) for step in path.split(".")[1:]]
    return ".".join([prop, *inner])


def planned_types(stacks: Iterable[str]) -> dict[str, set[str]]:
    """The AWS resource types of the stacks' plans, each with all properties that the SDK knows of it."""
    import plan
    from plan import sdk

    types = {r.type for stack in stacks for r in plan.run(stack).resources if r.package == "aws" and r.custom}
    return {token: set(sdk.members(sdk.inputs_class(token))) for token in types}


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the facts; 1 where there is no plugin."""
    from facts.replacements import FILE

    parser = argparse.ArgumentParser(prog="python -m tools.aws_provider", description=__doc__)
    parser.add_argument("--plugin", type=Path, default=installed(), help="the provider's executable")
    options = parser.parse_args(arguments)
    if options.plugin is None or not options.plugin.is_file():
        print("no AWS provider is installed here; name one with --plugin", file=sys.stderr)
        return 1
    facts = asked(options.plugin, planned_types(("dev", "prod")))
    FILE.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    console.run(main)
