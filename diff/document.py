"""What changes in the deployment document, which is all that the app knows of where it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plan.record import Plan
from plan.values import is_unknown

TYPE = "hal9:document:DeploymentDocument"
SKIPPED = ("region",)


def changes(before: Plan, after: Plan) -> list[str]:
    """`limits.userRate: 100 -> 1`, once, as every region's document says the same."""
    old, new = _first(before), _first(after)
    return list(_lines(old, new)) if old and new else []


def _first(plan: Plan) -> Any:
    documents = sorted(plan.of_type(TYPE), key=lambda one: one.name)
    return documents[0].inputs.get("document") if documents else None


def _lines(before: Any, after: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            if path or name not in SKIPPED:
                yield from _lines(before.get(name), after.get(name), f"{path}.{name}" if path else name)
    elif isinstance(before, list) and isinstance(after, list):
        old, new = _keyed(before), _keyed(after)
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _lines(old.get(key), new.get(key), f"{path}[{key}]")
    elif before != after and not (is_unknown(before) and is_unknown(after)):
        yield f"{path}: {_short(before)} -> {_short(after)}"


def _keyed(items: list[Any]) -> dict[str, Any]:
    """A list by the name or id of what is in it, so that one more in front is one more."""
    keys = [
        str(item.get("name", item.get("id", item.get("region", n)))) if isinstance(item, Mapping) else str(n)
        for n, item in enumerate(items)
    ]
    return (
        dict(zip(keys, items, strict=True))
        if len(set(keys)) == len(keys)
        else dict(zip(map(str, range(len(items))), items, strict=True))
    )


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = "one" if isinstance(value, (Mapping, list)) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
