"""A stack as rules see it: its resources, what each was made from, and where it lives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from plan.record import Resource
from policies import tokens
from topology.steps import Edit


@dataclass(frozen=True)
class Stack:
    """All resources of a stack, `config` (its flat configuration as text), and lookups between resources.

    `edit` is what becomes of the stack file since it stands, where that is known.
    Resources are the plan's records. What one was made from is read from its property dependencies: an id is not known
    before the deployment, whose id it is always is.
    """

    resources: tuple[Resource, ...]
    config: Mapping[str, str] = field(default_factory=dict)
    edit: Edit | None = None

    @cached_property
    def name(self) -> str:
        """The stack's own name, as its resources' URNs have it."""
        return self.resources[0].urn.split("::")[0].rpartition(":")[2] if self.resources else ""

    @cached_property
    def by_urn(self) -> dict[str, Resource]:
        """Every resource by its URN."""
        return {resource.urn: resource for resource in self.resources}

    @cached_property
    def _by_type(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = defaultdict(list)
        for resource in self.resources:
            found[resource.type].append(resource)
        return found

    @cached_property
    def _users(self) -> dict[tuple[str, str, str], list[Resource]]:
        """Who takes an input from a resource: by the user's type, the input, and the resource's URN."""
        found: dict[tuple[str, str, str], list[Resource]] = defaultdict(list)
        for resource in self.resources:
            for name, urns in resource.property_dependencies.items():
                for urn in urns:
                    found[resource.type, name, urn].append(resource)
        return found

    @property
    def types(self) -> list[str]:
        """The types of the stack's resources."""
        return list(self._by_type)

    def of(self, *wanted: str) -> list[Resource]:
        """The resources of these types."""
        return [resource for one in wanted for resource in self._by_type.get(one, ())]

    def sources(self, resource: Resource, name: str, *wanted: str) -> list[Resource]:
        """The resources of these types (any, where none is named) that an input's value comes from."""
        found = (self.by_urn[urn] for urn in resource.property_dependencies.get(name, ()) if urn in self.by_urn)
        return [source for source in found if not wanted or source.type in wanted]

    def users(self, resource: Resource, user: str, name: str) -> list[Resource]:
        """The resources of type `user` whose input `name` comes from a resource."""
        return self._users.get((user, name, resource.urn), [])

    @cached_property
    def regions(self) -> dict[str, Resource]:
        """The stack's regions: AWS region to its VPC."""
        return {vpc.region: vpc for vpc in sorted(self.of(tokens.VPC), key=lambda vpc: vpc.urn)}

    def by_region(self, resources: Iterable[Resource]) -> dict[str, list[Resource]]:
        """Resources by AWS region, every region of the stack included."""
        found: dict[str, list[Resource]] = {region: [] for region in self.regions}
        for resource in resources:
            found.setdefault(resource.region, []).append(resource)
        return found
