"""Two plans compared as the engine and the providers would: what is
made, changed, replaced, deleted, and what that harms.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from diff import foreseen
from facts import replacements
from plan.record import Plan, Resource
from plan.values import is_unknown

GLOBAL = "across regions"


class Kind(enum.IntEnum):
    """What becomes of a resource, the least harm first."""

    CREATED = 0
    UPDATED = 1
    """In place, and nothing that runs notices."""
    FORGOTTEN = 2
    """Left standing in AWS, and out of the stack."""
    WAITING = 3
    """Accepted at once, and done in the maintenance window."""
    RESTARTED = 4
    REPLACED_AFTER = 5
    """Its successor is there before it goes."""
    REPLACED_BEFORE = 6
    """It goes before its successor is there, as both would have one name."""
    DELETED = 7

    @property
    def told(self) -> str:
        """In a report."""
        return _TOLD[self]


_TOLD = {
    Kind.CREATED: "created",
    Kind.UPDATED: "updated in place",
    Kind.FORGOTTEN: "forgotten, left standing",
    Kind.WAITING: "waits for the window",
    Kind.RESTARTED: "restarted",
    Kind.REPLACED_AFTER: "replaced, the new one first",
    Kind.REPLACED_BEFORE: "replaced, gone before the new one",
    Kind.DELETED: "deleted",
}

LOST: Mapping[str, str] = {
    "aws:rds/instance:Instance": "the rows of its shard",
    "aws:kms/key:Key": "everything encrypted with it",
    "random:index/randomBytes:RandomBytes": "the key's bytes",
    "aws:elasticache/replicationGroup:ReplicationGroup": "what is in its memory",
    "aws:secretsmanager/secret:Secret": "the credential that it holds",
    "aws:ecr/repository:Repository": "the images in it",
    "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication": "backups in another region",
    "aws:route53/zone:Zone": "the delegation of the domain",
    "random:index/randomPassword:RandomPassword": "the password, which servers still have",
    "tls:index/privateKey:PrivateKey": "the private key",
    "aws:cloudwatch/logGroup:LogGroup": "its logs",
}
"""What is gone for good with a resource of a type, the worst first."""
EMPTY = "its shard begins empty; the rows stay in the one that is left standing"
SESSIONS = "the region's sessions: its users sign in again"
PROTECT = "protect"
"""The engine's own protection of a resource, beside its inputs."""
_ROWS = "aws:rds/instance:Instance"
_MEMORY = "aws:elasticache/replicationGroup:ReplicationGroup"


@dataclass(frozen=True)
class Change:
    """What becomes of one resource. `because` are the properties, or the resources, that it comes from.

    `lost`: data that goes with it, empty where none does.
    `protected`: the engine refuses, as the resource is protected.
    """

    resource: Resource
    kind: Kind
    component: str
    region: str
    because: tuple[str, ...] = ()
    lost: str = ""
    protected: bool = False
    held: tuple[str, ...] = ()
    doubt: bool = False
    bared: bool = False
    """Protected until now, and no longer."""

    @property
    def harm(self) -> tuple[int, int]:
        """For order: lost data first, in the order of `LOST`, then the kinds."""
        return len(LOST) - list(LOST).index(self.resource.type) if self.lost else 0, int(self.kind)


@dataclass(frozen=True)
class Comparison:
    """All changes, the largest harm first, and how many resources stay as they are."""

    changes: tuple[Change, ...]
    unchanged: int
    before: int
    after: int

    @property
    def counts(self) -> dict[Kind, int]:
        """How many changes of each kind there are."""
        found = dict.fromkeys(reversed(Kind), 0)
        for change in self.changes:
            found[change.kind] += 1
        return {kind: count for kind, count in found.items() if count}


@dataclass
class _Pair:
    """A resource that is in both plans."""

    before: Resource
    after: Resource
    changed: set[str] = field(default_factory=set)
    replacing: set[str] = field(default_factory=set)
    because: set[str] = field(default_factory=set)


def compare(before: Plan, after: Plan) -> Comparison:
    """The changes that `pulumi up` of one plan would make where the other stands. Linear in the resources' inputs."""
    old, new = before.by_urn, after.by_urn
    pairs = {urn: _pair(resource, new[urn]) for urn, resource in old.items() if urn in new and resource.custom}
    regions = _regions(before) | _regions(after)
    for urn, cause in foreseen.rolled(before, after, lambda resource: _place(resource, regions)):
        if urn in pairs:
            pairs[urn].changed.add(cause.path)
            pairs[urn].because.add(cause.said)
    _cascade(pairs)
    found = [_gone(before, resource, regions) for urn, resource in old.items() if urn not in new and resource.custom]
    found += [
        Change(resource, Kind.CREATED, _component(after, resource), _place(resource, regions))
        for urn, resource in new.items()
        if urn not in old and resource.custom
    ]
    found += [_changed(after, pair, regions) for pair in pairs.values() if pair.changed]
    found.sort(
        key=lambda change: (*(-part for part in change.harm), change.region, change.component, change.resource.urn)
    )
    made = sum(resource.custom for resource in new.values())
    unchanged = sum(not pair.changed for pair in pairs.values())
    return Comparison(tuple(found), unchanged, sum(resource.custom for resource in old.values()), made)


def _pair(before: Resource, after: Resource) -> _Pair:
    pair = _Pair(before, after)
    ignored = after.ignore_changes
    pair.changed = {
        path for path in differences(before.inputs, after.inputs) if not any(_within(path, one) for one in ignored)
    }
    for name in before.property_dependencies.keys() | after.property_dependencies.keys():
        sources = before.property_dependencies.get(name, ()), after.property_dependencies.get(name, ())
        if sources[0] != sources[1] and _any_unknown(after.inputs.get(name)) and name not in ignored:
            pair.changed.add(name)
    pair.replacing = replacements.replacing(after.type, pair.changed)
    if before.protect and not after.protect:
        pair.changed.add(PROTECT)
    if before.provider != after.provider and after.provider:
        pair.changed.add("provider")
        pair.replacing.add("provider")
    pair.because = set(pair.changed)
    return pair


def _cascade(pairs: Mapping[str, _Pair]) -> None:
    """What is made from a resource that is replaced gets new values: of an id, an address, a provider."""
    users: dict[str, list[tuple[_Pair, str]]] = {}
    for pair in pairs.values():
        for name, sources in pair.after.property_dependencies.items():
            if _any_unknown(pair.after.inputs.get(name)) and not any(
                _within(name, i) for i in pair.after.ignore_changes
            ):
                for urn in sources:
                    users.setdefault(urn, []).append((pair, name))
        if pair.after.provider in pairs:
            users.setdefault(pair.after.provider, []).append((pair, "provider"))
    waiting = [pair for pair in pairs.values() if pair.replacing]
    while waiting:
        source = waiting.pop()
        for pair, name in users.get(source.after.urn, ()):
            fresh = not pair.replacing
            pair.changed.add(name)
            pair.because.add(f"{name} of {source.after.name}")
            pair.replacing |= {name} if name == "provider" else replacements.replacing(pair.after.type, {name})
            if fresh and pair.replacing:
                waiting.append(pair)


def _gone(plan: Plan, resource: Resource, regions: Mapping[str, str]) -> Change:
    kept = resource.retain_on_delete
    return Change(
        resource,
        Kind.FORGOTTEN if kept else Kind.DELETED,
        _component(plan, resource),
        _place(resource, regions),
        lost="" if kept else _lost(resource),
        protected=resource.protect,
    )


def _changed(plan: Plan, pair: _Pair, regions: Mapping[str, str]) -> Change:
    resource, token = pair.after, pair.after.type
    held: set[str] = set()
    lost = ""
    if pair.replacing:
        first = resource.delete_before_replace or replacements.name_kept(token, pair.before.inputs, resource.inputs)
        moved = "provider" in pair.replacing
        kind = Kind.REPLACED_BEFORE if first and not moved else Kind.REPLACED_AFTER
        lost = _lost(pair.before)
        if lost and pair.before.retain_on_delete:
            lost = EMPTY if token == _ROWS else ""
    else:
        held = replacements.held(token, pair.changed, resource.inputs)
        restarting = replacements.restarting(token, pair.changed)
        kind = Kind.WAITING if held else Kind.RESTARTED if restarting else Kind.UPDATED
    because = sorted(pair.because, key=lambda path: (path.split(" ")[0] not in pair.replacing, path))
    return Change(
        resource,
        kind,
        _component(plan, resource),
        _place(resource, regions),
        tuple(because),
        lost,
        bool(pair.replacing) and pair.before.protect,
        tuple(sorted(held)),
        replacements.unasked(token),
        PROTECT in pair.changed,
    )


def _lost(resource: Resource) -> str:
    """What goes with a resource; a copy's rows and a cache's values are somewhere else as well."""
    what = LOST.get(resource.type, "")
    if resource.type == _ROWS:
        return "" if "replicateSourceDb" in resource.inputs else what
    if resource.type == _MEMORY:
        if "globalReplicationGroupId" in resource.inputs:
            return ""
        return SESSIONS if "numCacheClusters" in resource.inputs else ""
    return what


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The paths at which two values differ; a list that has grown or shrunk, and an unknown, is one."""
    if is_unknown(before) and is_unknown(after):
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in before.keys() | after.keys():
            inner = f"{path}.{name}" if path else name
            if name in before and name in after:
                yield from differences(before[name], after[name], inner)
            else:
                yield inner
    elif isinstance(before, (list, tuple)) and isinstance(after, (list, tuple)) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif before != after:
        yield path


def _any_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_any_unknown, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_any_unknown, value))
    return is_unknown(value)


def _within(path: str, other: str) -> bool:
    return path == other or path.startswith((f"{other}.", f"{other}["))


def _component(plan: Plan, resource: Resource) -> str:
    """The outermost component that is of one thing: a shard,
    a region's cluster; the resource's own name without one.
    """
    above = [one for one in plan.ancestors(resource) if not one.type.endswith((":RegionCell", ":Clusters"))]
    return above[0].name if above else resource.name


def _regions(plan: Plan) -> dict[str, str]:
    """The stack file's name of each AWS region, from the regions' components."""
    names = {one.urn: one.name for one in plan.resources if one.type == "hal9:region:RegionCell"}
    found: dict[str, str] = {}
    for resource in plan.resources:
        if resource.region and resource.parent in names:
            found.setdefault(resource.region, names[resource.parent])
        elif resource.region and resource.type == "pulumi:providers:aws":
            found.setdefault(resource.region, resource.name)
    return found


def _place(resource: Resource, regions: Mapping[str, str]) -> str:
    return regions.get(resource.region, resource.region) or GLOBAL
