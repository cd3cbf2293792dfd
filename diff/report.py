"""A verdict as text for a terminal, as Markdown of at most 60 lines for a pull request, and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator, Sequence

from diff.comparison import Change, Kind
from diff.verdict import Verdict

WIDTH = 110
LINES = 60
"""Of Markdown at most: what is read in a pull request."""
_NAMED = 4
"""How many resources of one kind and type are named before they are counted."""


def headline(verdict: Verdict) -> str:
    """The whole in one line."""
    counts = [f"{count} {kind.told}" for kind, count in verdict.comparison.counts.items()]
    lost = [f"{len(verdict.lost)} lose data"] if verdict.lost else []
    said = ", ".join([*lost, *counts]) or "nothing changes"
    return f"{verdict.stack} from {verdict.base}: {said}; {verdict.comparison.unchanged} unchanged"


def text(verdict: Verdict) -> str:
    """For a terminal."""
    lines = [headline(verdict)]
    for title, entries in _sections(verdict):
        lines += ["", title]
        for entry in entries:
            lines += textwrap.wrap(
                entry,
                WIDTH,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join([*lines, "", _end(verdict)])


def markdown(verdict: Verdict) -> str:
    """For a pull request: what does not fit into 60 lines is counted, the least harm first."""
    lines = [f"### {headline(verdict)}", ""]
    sections = list(_sections(verdict))
    room = LINES - len(lines) - 2 - sum(2 for _ in sections)
    for place, (title, entries) in enumerate(sections):
        rest = len(sections) - place - 1
        share = max(1, room - rest) if len(entries) <= room - rest else max(1, room - rest - min(rest * 3, room // 3))
        shown = entries if len(entries) <= share else [*entries[: share - 1], f"and {len(entries) - share + 1} more"]
        room -= len(shown)
        lines += [f"**{title}**", *(f"- {entry}" for entry in shown), ""]
    return "\n".join([*lines, _end(verdict)]) + "\n"


def to_json(verdict: Verdict) -> str:
    """Everything, for a program."""
    content = {
        "stack": verdict.stack,
        "base": verdict.base,
        "allowed": not verdict.refused,
        "counts": {kind.name.lower(): count for kind, count in verdict.comparison.counts.items()},
        "unchanged": verdict.comparison.unchanged,
        "refused": [{"path": one.path, "what": one.what, "way": one.way} for one in verdict.refused],
        "accepted": [{"path": one.path, "what": one.what, "reason": reason} for one, reason in verdict.accepted],
        "usersMoved": list(verdict.users),
        "document": list(verdict.document),
        "changes": [
            {
                "urn": change.resource.urn,
                "name": change.resource.name,
                "type": change.resource.type,
                "region": change.region,
                "component": change.component,
                "kind": change.kind.name.lower(),
                "because": list(change.because),
                "dataLost": change.lost,
                "protected": change.protected,
                "bared": change.bared,
                "held": list(change.held),
            }
            for change in verdict.comparison.changes
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _sections(verdict: Verdict) -> Iterator[tuple[str, list[str]]]:
    """Title and entries, the largest harm first."""
    wanted: list[tuple[str, Sequence[str]]] = [
        ("Refused: no step", [str(one) for one in verdict.refused]),
        ("Let through", [f"hal9:{one.path}: {one.what}. Accepted: {reason}" for one, reason in verdict.accepted]),
        ("Accepted for nothing", [f"{one.stack}/{one.path}: nothing is refused there" for one in verdict.unused]),
        ("Data lost", _grouped(verdict.lost, lambda change: f": {change.lost}")),
        ("Users moved", verdict.users),
        ("Protected, so the engine refuses until `pulumi state unprotect`", _grouped(verdict.protected, lambda _c: "")),
        ("No longer protected", _grouped(verdict.bared, lambda _change: "")),
    ]
    harmful = (Kind.DELETED, Kind.REPLACED_BEFORE, Kind.REPLACED_AFTER, Kind.RESTARTED, Kind.WAITING)
    harmless = (Kind.FORGOTTEN, Kind.UPDATED, Kind.CREATED)
    wanted += [(kind.told.capitalize(), _grouped(_of(verdict, kind), _why)) for kind in harmful]
    wanted.append(("The deployment document", verdict.document))
    wanted += [(kind.told.capitalize(), _grouped(_of(verdict, kind), _why)) for kind in harmless]
    return ((title, list(entries)) for title, entries in wanted if entries)


def _of(verdict: Verdict, kind: Kind) -> list[Change]:
    return [change for change in verdict.comparison.changes if change.kind is kind]


def _grouped(changes: Sequence[Change], end: Callable[[Change], str]) -> list[str]:
    """One entry for each region and component, types and reasons alike counted in it."""
    groups: dict[tuple[str, str], dict[tuple[str, str], list[Change]]] = {}
    for change in changes:
        inside = groups.setdefault((change.region, change.component), {})
        inside.setdefault((change.resource.kind, end(change)), []).append(change)
    entries = []
    for (region, component), inside in groups.items():
        parts = [f"{_named(kind, same)}{why}" for (kind, why), same in inside.items()]
        entries.append(f"{region}, {component}: {'; '.join(parts)}")
    return entries


def _named(kind: str, changes: Sequence[Change]) -> str:
    names = [change.resource.name for change in changes]
    if len(names) > _NAMED:
        return f"{len(names)} {kind}"
    return f"{kind} {', '.join(names)}"


def _why(change: Change) -> str:
    said = (
        f" ({', '.join(change.because[:3])}{' and more' if len(change.because) > 3 else ''})" if change.because else ""
    )
    held = f", {', '.join(change.held)} in the window" if change.held else ""
    return f"{said}{held}{' - its provider was not asked' if change.doubt else ''}"


def _end(verdict: Verdict) -> str:
    if verdict.refused:
        count = len(verdict.refused)
        return (
            f"Not allowed: {count} "
            f"{'edit is no step that keeps' if count == 1 else 'edits are no steps that keep'} everybody's data."
        )
    some = verdict.comparison.changes or verdict.users or verdict.document
    return "Allowed." if some else "Nothing to do."
