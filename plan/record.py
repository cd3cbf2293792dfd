"""A plan: every resource that the program registers, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from plan.values import unknown_paths


@dataclass(frozen=True)
class Resource:
    """One resource as it was registered.

    `inputs` are camelCase as they travel to the provider, with `plan.values.Unknown` and `Secret` in place of what
    is not known or not shown; what must not be changed is the caller's duty. `provider` is the provider's URN, empty
    for a default one; `region` the AWS region that it lives in, empty where there is none (components, random).
    `outputs` are what a component registered.
    """

    urn: str
    type: str
    name: str
    parent: str
    custom: bool
    provider: str = ""
    region: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    dependencies: tuple[str, ...] = ()
    property_dependencies: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    protect: bool = False
    retain_on_delete: bool = False
    delete_before_replace: bool = False
    deleted_with: str = ""
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    additional_secret_outputs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    import_id: str = ""
    custom_timeouts: Mapping[str, str] = field(default_factory=dict)

    @property
    def package(self) -> str:
        """`aws` of `aws:ec2/vpc:Vpc`; `pulumi` of a provider."""
        return self.type.split(":")[0]

    @property
    def kind(self) -> str:
        """The last part of the type: `Vpc` of `aws:ec2/vpc:Vpc`."""
        return self.type.rpartition(":")[2]

    @property
    def is_provider(self) -> bool:
        """Whether it is a provider, such as `pulumi:providers:aws`."""
        return self.type.startswith("pulumi:providers:")

    @property
    def unknown(self) -> list[str]:
        """The paths of the inputs that are not known before the deployment."""
        return list(unknown_paths(self.inputs))


@dataclass(frozen=True)
class Invoke:
    """A question to a provider during the preview: it cannot be answered without the cloud."""

    token: str
    provider: str


@dataclass(frozen=True)
class Plan:
    """What a stack would be: its resources in the order of their URNs, and its outputs.

    `messages` is what the program printed or logged. `order` is the URNs as they were registered and `seconds` how
    long it took; both are no part of what the plan is, so plans of the same stack file are equal.
    """

    project: str
    stack: str
    resources: tuple[Resource, ...]
    outputs: Mapping[str, Any]
    invokes: tuple[Invoke, ...] = ()
    messages: tuple[str, ...] = ()
    order: tuple[str, ...] = field(default=(), compare=False)
    seconds: float = field(default=0, compare=False)

    @property
    def root(self) -> str:
        """The URN of the stack itself, the parent of what has no other; it is none of `resources`."""
        return f"urn:pulumi:{self.stack}::{self.project}::pulumi:pulumi:Stack::{self.project}-{self.stack}"

    @cached_property
    def by_urn(self) -> dict[str, Resource]:
        """Every resource by its URN."""
        return {resource.urn: resource for resource in self.resources}

    @cached_property
    def urns(self) -> frozenset[str]:
        """Every URN."""
        return frozenset(self.by_urn)

    @cached_property
    def inputs(self) -> dict[str, Mapping[str, Any]]:
        """Every resource's inputs by its URN."""
        return {resource.urn: resource.inputs for resource in self.resources}

    def of_type(self, *types: str) -> list[Resource]:
        """The resources of these types; a type without colons is the last part of one (`Vpc`)."""
        return [r for r in self.resources if r.type in types or r.kind in types]

    def ancestors(self, resource: Resource) -> list[Resource]:
        """The components that a resource stands in, the outermost first."""
        found: list[Resource] = []
        while (parent := self.by_urn.get(resource.parent)) is not None:
            found.insert(0, parent)
            resource = parent
        return found
