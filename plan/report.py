"""A plan for people: the tree of what would be created, counts, outputs, and what only the deployment can tell."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from plan.record import Plan, Resource
from plan.values import unknown_paths

WIDTH = 100
TREE_WIDTH = 80
COUNT_WIDTH = 6
TYPE_WIDTH = 36
NOWHERE = "none"


class Style:
    """Colours, or none, and the columns that there are."""

    def __init__(self, colours: bool, width: int = WIDTH) -> None:
        self._colours, self.width = colours, width

    def bold(self, text: str) -> str:
        """For headings."""
        return self._with("1", text)

    def faint(self, text: str) -> str:
        """For what is read last."""
        return self._with("2", text)

    def _with(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colours else text


def report(plan: Plan, style: Style) -> str:
    """The whole text, lines of at most the columns that there are, but for single words that are longer."""
    made = [resource for resource in plan.resources if resource.custom]
    head = f"{plan.project} {plan.stack}: {len(made)} resources would be created"
    lines = [*map(style.bold, textwrap.wrap(head, style.width)), ""]
    lines += _tree(plan, style)
    lines += ["", style.bold("By type and region"), *_table(made, style)]
    lines += ["", style.bold("Outputs"), *(_outputs(plan.outputs, "  ", style.width) or ["  none"])]
    lines += ["", style.bold("Not known before the deployment"), *_unknown(plan, style.width)]
    if plan.messages:
        lines += [
            "",
            style.bold("The program said"),
            *(line for message in dict.fromkeys(plan.messages) for line in _wrapped(message, [], style.width)),
        ]
    components = sum(not resource.custom for resource in plan.resources)
    protected = sum(resource.protect for resource in made)
    summary = (
        f"{len(made)} resources in {components} components, {protected} protected; planned in {plan.seconds:.1f} s"
    )
    return "\n".join([*lines, "", *map(style.bold, textwrap.wrap(summary, style.width))])


def _tree(plan: Plan, style: Style) -> Iterator[str]:
    """Regions in the order of the program, then what spans regions; in each the components, with what is in them."""
    order = {urn: index for index, urn in enumerate(plan.order)}
    children: dict[str, list[Resource]] = {}
    for resource in sorted(plan.resources, key=lambda one: order.get(one.urn, 0)):
        children.setdefault(resource.parent, []).append(resource)
    groups: dict[str, list[Resource]] = {}
    for resource in children.get(plan.root, []):
        groups.setdefault(_place(resource, children), []).append(resource)
    for region in sorted(groups, key=lambda place: not place):  # what spans regions comes last
        inside = [one for top in groups[region] for one in _made(top, children)]
        yield style.bold(_line("", region or "across regions", len(inside), style.width))
        yield from _branches(groups[region], children, "", style)


def _branches(
    siblings: list[Resource], children: Mapping[str, list[Resource]], indent: str, style: Style
) -> Iterator[str]:
    """Components one a line, resources that stand beside them as counts of their types."""
    components = [one for one in siblings if not one.custom]
    kinds = _kinds(made for one in siblings if one.custom for made in _made(one, children))
    rest = textwrap.wrap(kinds, style.width - len(indent) - 3) if kinds else []
    for index, component in enumerate(components):
        last = index == len(components) - 1 and not rest
        label = f"{component.kind} {component.name}"
        yield _line(f"{indent}{'└─' if last else '├─'} ", label, len(_made(component, children)), style.width)
        yield from _branches(children.get(component.urn, []), children, f"{indent}{'   ' if last else '│  '}", style)
    for index, line in enumerate(rest):
        yield style.faint(f"{indent}{'└─' if index == 0 else '  '} {line}")


def _line(indent: str, label: str, count: int, width: int) -> str:
    """A label with its count at the right margin of the tree; one that is too long loses its end."""
    margin = min(width, TREE_WIDTH)
    room = margin - len(indent) - COUNT_WIDTH
    label = label if len(label) <= room else f"{label[: room - 1]}…"
    return f"{indent}{label}{count:>{margin - len(indent) - len(label)}}"


def _made(resource: Resource, children: Mapping[str, list[Resource]]) -> list[Resource]:
    """A resource and all below it, components left out."""
    below = [one for child in children.get(resource.urn, []) for one in _made(child, children)]
    return [resource, *below] if resource.custom else below


def _place(resource: Resource, children: Mapping[str, list[Resource]]) -> str:
    """The region that a resource and all below it are in; empty if they are in several, or in none."""
    regions = {one.region for one in _made(resource, children)} - {""}
    return regions.pop() if len(regions) == 1 else ""


def _kinds(resources: Iterator[Resource]) -> str:
    counts = Counter(_kind(resource) for resource in resources)
    return ", ".join(kind if count == 1 else f"{kind} x{count}" for kind, count in sorted(counts.items()))


def _kind(resource: Resource) -> str:
    return f"{resource.kind} provider" if resource.is_provider else resource.kind


def _table(made: list[Resource], style: Style) -> Iterator[str]:
    """Counts by type, a column for each region: as many side by side as there is room for, the totals with the last."""
    counts = Counter((_type(r), r.region or NOWHERE) for r in made)
    totals = Counter(map(_type, made))
    types = sorted(totals)
    regions = sorted({region for _, region in counts}, key=lambda name: (name == NOWHERE, name))
    beside = len("  ") + max(map(len, regions), default=0) + len("  ") + len("   total")
    width = min(max(map(len, types), default=0), TYPE_WIDTH, max(style.width - beside, 8))
    blocks: list[list[str]] = [[]]
    for region in regions:
        if sum(len(name) + 2 for name in [*blocks[-1], region]) > style.width - len("  ") - width - len("   total"):
            blocks.append([])
        blocks[-1].append(region)
    for block in blocks:
        last = block is blocks[-1]
        header = "".join(f"  {region}" for region in block) + ("   total" if last else "")
        yield style.faint(f"  {'type':<{width}}{header}")
        for kind in types:
            row = [counts[kind, region] for region in block]
            cells = "".join(f"  {count or '-':>{len(region)}}" for region, count in zip(block, row, strict=True))
            total = f"{totals[kind]:>8}" if last else ""
            if any(row) or last:
                yield f"  {kind[:width]:<{width}}{cells}{total}"


def _type(resource: Resource) -> str:
    """`aws:ec2 Subnet` of `aws:ec2/subnet:Subnet`; a Kubernetes object goes by its kind."""
    if resource.is_provider:
        return f"provider {resource.kind}"
    package, module, kind = resource.type.split(":")
    place = module.split("/")[0]
    return f"{package} {kind}" if package == "kubernetes" or place == "index" else f"{package}:{place} {kind}"


def _outputs(outputs: Any, indent: str, width: int) -> list[str]:
    """Nested outputs, one value a line."""
    lines: list[str] = []
    items = outputs.items() if isinstance(outputs, Mapping) else ((str(i), v) for i, v in enumerate(outputs))
    for name, value in items:
        if isinstance(value, (Mapping, list)) and value:
            lines += [f"{indent}{name}:", *_outputs(value, indent + "  ", width)]
        else:
            first, *more = textwrap.wrap(
                _shown(value), max(width - len(indent) - len(name) - 2, 12), break_on_hyphens=False
            ) or [""]
            lines += [f"{indent}{name}: {first}", *(f"{indent}{' ' * (len(name) + 2)}{line}" for line in more)]
    return lines


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return "empty" if value in ({}, []) else str(value)


def _unknown(plan: Plan, width: int) -> Iterator[str]:
    """Which outputs and how many inputs wait for the cloud, and for which resources."""
    outputs = list(unknown_paths(plan.outputs))
    waiting = {resource.urn: resource.unknown for resource in plan.resources if resource.unknown}
    inputs = sum(map(len, waiting.values()))
    yield from _wrapped(f"{len(outputs)} {'output' if len(outputs) == 1 else 'outputs'}", outputs, width)
    sources = Counter(_kind(plan.by_urn[urn]) for urn in _awaited(plan) if urn in plan.by_urn)
    names = [kind if count == 1 else f"{kind} x{count}" for kind, count in sorted(sources.items())]
    yield from _wrapped(f"{inputs} inputs of {len(waiting)} resources, from", names, width)


def _awaited(plan: Plan) -> set[str]:
    """The resources that unknown inputs come from."""
    return {
        urn
        for resource in plan.resources
        for name, urns in resource.property_dependencies.items()
        if any(True for _ in unknown_paths(resource.inputs.get(name)))
        for urn in urns
    }


def _wrapped(head: str, names: list[str], width: int) -> list[str]:
    text = f"{head}: {', '.join(names)}" if names else head
    return textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
