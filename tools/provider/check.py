"""What AWS's own provider says of a plan: wrong enum values, missing
or conflicting arguments, bad CIDRs, ARNs and policies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from plan.record import Plan, Resource
from policies.terraform import terraform_type
from tools.provider.protocol import Provider, ProviderError, Remark
from tools.provider.translation import Shape, UntranslatableError, shape_of, translated


@dataclass(frozen=True)
class Finding:
    """One thing that the provider would refuse; `resource` is its Pulumi type and name."""

    resource: str
    what: str

    def __str__(self) -> str:
        return f"{self.resource}\n    {self.what}"


@dataclass
class Report:
    """What came of a plan. `not_asked` is by type the properties that this provider
    does not have, `types_not_asked` the types; `warnings` are the provider's own.
    """

    version: str = ""
    asked: int = 0
    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    not_asked: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    types_not_asked: set[str] = field(default_factory=set)


def checked(plan: Plan, plugin: Path) -> Report:
    """Every AWS resource of the plan, validated and planned by the provider, one after another, region by region."""
    report = Report()
    by_region: defaultdict[str, list[Resource]] = defaultdict(list)
    for resource in plan.resources:
        if resource.package == "aws" and resource.custom:
            by_region[resource.region].append(resource)
    for region, resources in sorted(by_region.items()):
        with Provider(plugin, region) as provider:
            report.version = provider.version
            shapes: dict[str, Shape] = {}
            for resource in resources:
                _ask(provider, resource, plan, shapes, report)
    return report


def _ask(provider: Provider, resource: Resource, plan: Plan, shapes: dict[str, Shape], report: Report) -> None:
    name = terraform_type(resource.type)
    if not provider.knows(name):
        report.types_not_asked.add(resource.type)
        return
    shape = shapes.get(name) or shapes.setdefault(name, shape_of(provider.block(name)))
    where = f"{resource.type} {resource.name}"
    try:
        translation = translated(resource, name, shape, plan)
        said = list(_said(provider, name, translation.config))
    except (UntranslatableError, ProviderError) as error:
        report.errors.append(Finding(where, str(error)))
        return
    report.asked += 1
    if translation.not_asked:
        report.not_asked[resource.type].update(translation.not_asked)
    for remark in dict.fromkeys(said):
        what = f"{remark.path}: {remark}" if remark.path else str(remark)
        (report.errors if remark.is_error else report.warnings).append(Finding(where, what))


def _said(provider: Provider, name: str, config: Mapping[str, object]) -> Iterator[Remark]:
    """Its remarks on what is written; and where that is right, on what would come of it."""
    remarks = list(provider.validate(name, config))
    yield from remarks
    if not any(remark.is_error for remark in remarks):
        yield from provider.plan(name, None, config).remarks
